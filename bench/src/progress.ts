/** Tells how far a run is: one line that is rewritten on a terminal, plain lines elsewhere. */
export interface Progress {
  /** A step that begins now. */
  step(sentence: string): void;
  /** How much of the current step is done, 0 to 1. */
  part(share: number): void;
  /** The run is over: the line is cleared away. */
  end(): void;
}

const barWidth = 24;

export function createProgress(out: NodeJS.WriteStream): Progress {
  let sentence = "";
  let drawn = "";
  const draw = (text: string): void => {
    if (!out.isTTY || text === drawn) return;
    drawn = text;
    out.write(`\r\x1b[2K${text.slice(0, out.columns - 1)}`);
  };
  return {
    step(next) {
      sentence = next;
      if (out.isTTY) draw(next);
      else out.write(`${next}\n`);
    },
    part(share) {
      const full = Math.round(Math.min(1, share) * barWidth);
      draw(`[${"#".repeat(full)}${".".repeat(barWidth - full)}] ${sentence}`);
    },
    end: () => draw(""),
  };
}
