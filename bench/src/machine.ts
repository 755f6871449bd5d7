import { arch, availableParallelism, cpus, loadavg, platform, release, totalmem } from "node:os";
import { round } from "./figures.ts";

/** What a figure depends on as much as on the code. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  readonly postgres: string;
  /** Load average of the minute before the run: what others did on this machine. */
  readonly loadBefore: number;
}

/** Load average of the last minute. */
export const loadNow = (): number => round(loadavg()[0] ?? 0);

export function describeMachine(postgres: string, loadBefore: number): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryGiB: round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    postgres,
    loadBefore,
  };
}
