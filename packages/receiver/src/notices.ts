import type { RefusalCode } from "./refused.ts";

/** What a receiver has to tell its operator, for a log or for metrics. Never a body, a header's value or a link. */
export type Notice =
  /** A request was refused; nothing of it was stored. */
  | {
      readonly kind: "refused";
      readonly code: RefusalCode;
      readonly status: number;
      readonly message: string;
    }
  /** An event was stored. */
  | { readonly kind: "accepted"; readonly session: string; readonly event: string }
  /** An event came that was there already. */
  | { readonly kind: "duplicate"; readonly session: string; readonly event: string }
  /** An event came whose body differs from the one that is there. The first one stands. */
  | { readonly kind: "conflict"; readonly session: string; readonly event: string }
  /** A handler has returned, or its transaction was committed. */
  | { readonly kind: "handled"; readonly session: string; readonly event: string; readonly attempt: number }
  /** A handler has thrown, and is tried again after a pause. */
  | {
      readonly kind: "handler_failed";
      readonly session: string;
      readonly event: string;
      readonly attempt: number;
      /** Pause before the next attempt, in ms. */
      readonly pauseMs: number;
      readonly error: unknown;
    }
  /** A handler has failed for the last time, or its process has died as often: the event is on the list of the dead. */
  | {
      readonly kind: "dead";
      readonly session: string;
      readonly event: string;
      readonly attempt: number;
      readonly error: unknown;
    }
  /** Another process has taken the work over while a handler ran here; what this one did in its transaction is undone. */
  | { readonly kind: "claim_lost"; readonly session: string; readonly event: string }
  /** The store or the queue has failed. Requests are answered 503 meanwhile. */
  | { readonly kind: "store_failed"; readonly doing: string; readonly error: unknown }
  /** The store forgets everything when this process ends. */
  | { readonly kind: "forgets" };

/** Gets every notice. What it throws is ignored. */
export type Notify = (notice: Notice) => void;

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Without a `notify`: what somebody should look at goes to the console, the rest nowhere. */
export const toConsole: Notify = (notice) => {
  const place = "session" in notice ? `${notice.event} of session ${notice.session}` : "";
  switch (notice.kind) {
    case "conflict":
      console.warn(`receiver: ${place} came with another body; the first one stands`);
      break;
    case "handler_failed":
      console.warn(
        `receiver: the handler of ${place} failed (attempt ${notice.attempt}), next in ${notice.pauseMs} ms: ${textOf(notice.error)}`,
      );
      break;
    case "dead":
      console.error(
        `receiver: the handler of ${place} failed for the last time (attempt ${notice.attempt}): ${textOf(notice.error)}. It is on the list of the dead: receiver.dead(), receiver.revive(id).`,
      );
      break;
    case "store_failed":
      console.error(`receiver: ${notice.doing} failed: ${textOf(notice.error)}`);
      break;
    case "forgets":
      console.warn(
        "receiver: the memory store forgets every event when this process ends. Use the PostgreSQL or the Redis store in production.",
      );
      break;
    default:
  }
};

/** A notify that can break nothing. */
export const safely =
  (notify: Notify): Notify =>
  (notice) => {
    try {
      notify(notice);
    } catch {
      // A log that fails must not fail an event.
    }
  };
