import type { ErrorCode } from "@sendoff/contract";

/** A report that is not taken, and why. */
export interface Refused {
  readonly kind: "refused";
  readonly code: ErrorCode;
  readonly message: string;
}

export function refused(code: ErrorCode, message: string): Refused {
  return { kind: "refused", code, message };
}

/** Another report of the same kind came first and says otherwise. */
export function contradiction(what: string, stored: object): Refused {
  return refused(
    "report_contradicts",
    `Another ${what} came first and stands: ${JSON.stringify(stored)}. Send that again, or nothing.`,
  );
}

/** Nothing brings the data of an erased session back, not even the report that it came from. */
export function erased(sessionId: string, erasedAt: Date): Refused {
  return refused(
    "session_erased",
    `Session ${sessionId} was erased at ${erasedAt.toISOString()}; nothing is taken about it any more. Use another id for a new session.`,
  );
}
