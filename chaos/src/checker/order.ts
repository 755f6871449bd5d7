import type { SinkRequest } from "../history.ts";
import { type Evidence, groupBy, type Violation, violation } from "./evidence.ts";
import { shown } from "./posts.ts";

/** I3: finalized last, on the sink's log alone. */
export function checkOrder({ history }: Evidence): Violation[] {
  const lanes = groupBy(
    history.requests.filter((request) => request.session !== null && request.event !== "recording.ready"),
    (request) => `${request.path} ${request.session}`,
  );
  return [...lanes.values()].flatMap(checkLane);
}

function checkLane(requests: readonly SinkRequest[]): Violation[] {
  const final = requests
    .filter((request) => request.event === "session.finalized")
    .reduce<SinkRequest | null>(
      (first, request) => (first === null || request.beginNs < first.beginNs ? request : first),
      null,
    );
  if (final === null) return [];
  return requests
    .filter((request) => request.event !== "session.finalized")
    .flatMap((request) => {
      if (request.beginNs > final.beginNs) {
        return violation(
          "I3",
          `${request.event} of ${request.session} began after session.finalized`,
          ...shown([final, request]),
        );
      }
      if (request.closedNs === null || request.closedNs > final.beginNs) {
        return violation(
          "I3",
          `${request.event} of ${request.session} was still open when session.finalized began`,
          ...shown([request, final]),
        );
      }
      return [];
    });
}
