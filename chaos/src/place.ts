import { statfsSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { RunPlace } from "./run.ts";
import type { Patch } from "./workspace.ts";

const memoryBytesMin = 2 * 1024 ** 3;

/**
 * In memory where there is room: kill -9 loses the same on either, namely what is in the dead process, and the disk of a
 * busy machine takes seconds for each recovery of PostgreSQL.
 */
function memoryFolder(): string {
  try {
    const { bavail, bsize } = statfsSync("/dev/shm");
    return bavail * bsize > memoryBytesMin ? "/dev/shm" : tmpdir();
  } catch {
    return tmpdir();
  }
}

/** Makes the folder of a run, and removes it; PostgreSQL runs as another account, which must be able to pass. */
export async function withPlace<Result>(
  out: string | null,
  patches: readonly Patch[],
  abort: AbortSignal,
  tell: (sentence: string) => void,
  work: (place: RunPlace) => Promise<{ result: Result; keep: boolean }>,
): Promise<Result> {
  const folder = await mkdtemp(join(memoryFolder(), "sendoff-chaos-"));
  await chmod(folder, 0o755);
  const logs = out === null ? await mkdtemp(join(tmpdir(), "sendoff-chaos-logs-")) : resolve(out);
  let keep = false;
  try {
    const done = await work({ folder, logs, patches, tell, abort });
    keep = done.keep;
    return done.result;
  } catch (error) {
    keep = !abort.aborted;
    throw error;
  } finally {
    // PostgreSQL's last children may still be letting go of their files.
    await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    if (out === null && !keep) await rm(logs, { recursive: true, force: true });
    else tell(`The logs are in ${logs}`);
  }
}

/** Aborts with the first Ctrl-C or SIGTERM; everything then ends in order. */
export function abortBySignal(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => controller.abort(new Error(signal)));
  }
  return controller.signal;
}
