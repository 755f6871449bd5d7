import cliProgress from "cli-progress";
import type { Io } from "../io.ts";

const lineEveryMs = 5_000;

/** How far a run is: a bar on a terminal, else a line every few seconds. Written to stderr. */
export interface Progress {
  /** Begins a phase, such as "playing sessions", that is complete at `total`. */
  begin(label: string, total: number): void;
  at(value: number): void;
  end(): void;
}

/** The bar or the lines, by what stderr is. */
export function progressOn(io: Io): Progress {
  return io.stderr.isTTY === true ? new Bar() : new Lines(io);
}

class Bar implements Progress {
  #bar: cliProgress.SingleBar | null = null;

  begin(label: string, total: number): void {
    this.end();
    this.#bar = new cliProgress.SingleBar(
      {
        format: `${label.padEnd(20)} {bar} {value}/{total}  {duration_formatted}`,
        stream: process.stderr,
        hideCursor: true,
      },
      cliProgress.Presets.shades_classic,
    );
    this.#bar.start(total, 0);
  }

  at(value: number): void {
    this.#bar?.update(value);
  }

  end(): void {
    this.#bar?.stop();
    this.#bar = null;
  }
}

class Lines implements Progress {
  readonly #io: Io;
  #label = "";
  #total = 0;
  #saidAtMs = 0;

  constructor(io: Io) {
    this.#io = io;
  }

  begin(label: string, total: number): void {
    this.#label = label;
    this.#total = total;
    this.#saidAtMs = performance.now();
  }

  at(value: number): void {
    if (performance.now() - this.#saidAtMs < lineEveryMs) return;
    this.#saidAtMs = performance.now();
    this.#io.stderr.write(`${this.#label}: ${value} of ${this.#total}\n`);
  }

  end(): void {
    this.#label = "";
  }
}
