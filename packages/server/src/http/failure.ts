import { randomUUID } from "node:crypto";
import { isUnavailable } from "../database/unavailable.ts";
import type { Logger } from "../log.ts";
import { Refusal } from "../refusal.ts";

/** What the one who asked is told of an error. What is not theirs to know goes to the log, with an id to find it by. */
export function asRefusal(log: Logger, error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
  if (isUnavailable(error)) {
    log.error({ event: "http.database_unavailable", reason });
    return new Refusal("database_unavailable", "PostgreSQL does not answer; try again in a second.");
  }
  const requestId = randomUUID();
  log.error({ event: "http.failed", requestId, reason });
  return new Refusal(
    "internal_error",
    `Sendoff made a mistake; its log tells more under the id ${requestId}.`,
  );
}
