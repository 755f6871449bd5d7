import type { StartFile } from "@sendoff/contract";
import type { Role } from "./running.ts";

/** What a supervisor tells its child. */
export type ToChild =
  | { readonly type: "begin"; readonly role: Role; readonly connectionString: string | null }
  | { readonly type: "end" };

/** What a child tells its supervisor. */
export type FromChild =
  | { readonly type: "ready"; readonly start: StartFile | null; readonly startPath: string }
  | { readonly type: "failed"; readonly message: string; readonly known: boolean }
  | { readonly type: "heartbeat" };

/** How often a child says that it lives, in milliseconds. */
export const heartbeatMs = 250;

/**
 * How long a child may be silent before it is killed, in milliseconds. With the supervisor's own step it is less than
 * `stallAllowanceMs` of the dispatcher, which keeps so much of each claim's lease free for it.
 */
export const silenceMaxMs = 3_000;
