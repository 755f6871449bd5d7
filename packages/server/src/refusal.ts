import { type ErrorCode, type ErrorDetail, errorCatalogue } from "@sendoff/contract";

/** A request that is not done, with what the one who sent it needs to know. Becomes the API's error answer. */
export class Refusal extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly details: readonly ErrorDetail[];
  /** Further headers of the answer, such as Allow. */
  readonly headers: Readonly<Record<string, string>>;

  /** @param message what was given, what was expected and what to do, as a sentence. */
  constructor(
    code: ErrorCode,
    message: string,
    more: { details?: readonly ErrorDetail[]; headers?: Readonly<Record<string, string>> } = {},
  ) {
    // It is an answer, not a fault: nobody reads where it was thrown, and finding that out is a sixth of what refusing costs.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message);
    Error.stackTraceLimit = stackTraceLimit;
    this.code = code;
    this.status = errorCatalogue[code].status;
    this.details = more.details ?? [];
    this.headers = { ...(this.status === 503 ? { "retry-after": "1" } : {}), ...more.headers };
  }
}
