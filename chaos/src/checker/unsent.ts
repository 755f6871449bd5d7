import { msNs } from "../monotonic.ts";
import { attemptKey, type Evidence, type Violation, violation } from "./evidence.ts";
import { covers, uptimes } from "./uptime.ts";

/** A process that ends is noticed a moment later. */
const noticedNs = 500 * msNs;

/**
 * L7: what a living process never sent does not become `unknown`. Tables do not say whose an attempt was, so only those are
 * judged through which every worker lived; and not the endpoint at a forbidden address, where the sink can see nothing.
 */
export function checkUnsent({ history, clock, requestsOf, endpointOf }: Evidence): Violation[] {
  const workers = [...uptimes(history, "worker").values()];
  return history.tables.logs.flatMap((row) => {
    if (row.outcome !== "unknown" || endpointOf.get(row.project)?.path === null) return [];
    if (requestsOf.has(attemptKey(row.webhookId, row.attempt))) return [];
    const attemptedNs = clock.ns(row.attemptedMs);
    const loggedNs = clock.ns(row.loggedMs);
    if (!workers.every((spans) => covers(spans, attemptedNs - noticedNs, loggedNs))) return [];
    const around = history.moves.filter((move) => move.fromNs < loggedNs && move.toNs > attemptedNs);
    const during = around.map(({ name }) => name).join(", ") || "no move";
    return violation(
      "L7",
      `${row.event} of ${row.session}, attempt ${row.attempt}: unknown, though never sent (${during})`,
      row,
      ...around,
    );
  });
}
