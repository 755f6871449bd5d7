/** A stream that text is written to. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

/** What a command may touch of its process. Tests give their own. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Exit statuses of the command. */
export const exitStatus = {
  fine: 0,
  /** The check of a simulation found something wrong. */
  wrong: 1,
  /** Wrong usage, or no server can be found or reached. */
  unusable: 2,
} as const;

/** A failure that is told to the user in one sentence, without a stack. */
export class CommandFailure extends Error {
  readonly exitStatus: number;

  constructor(message: string, status: number = exitStatus.unusable) {
    super(message);
    this.name = "CommandFailure";
    this.exitStatus = status;
  }
}

/** Whether colours may be written to a stream: on a terminal only, and not where NO_COLOR is set. */
export function wantsColour(output: Output, env: Io["env"]): boolean {
  return output.isTTY === true && (env.NO_COLOR === undefined || env.NO_COLOR === "");
}
