import type { SinkRequest } from "../history.ts";
import { secondNs } from "../monotonic.ts";
import { attemptOf, type Evidence, groupBy, type Violation, violation, webhookIdOf } from "./evidence.ts";

/** Without retries: begins of a session.finalized, and of any other event. */
const finalizedMax = 1;
const othersMax = 2;

/** I2: attempts on the wire are bounded, one after another, and bear one webhook-id. */
export function checkPosts(evidence: Evidence): Violation[] {
  const { history } = evidence;
  const groups = groupBy(
    history.requests.filter((request) => request.session !== null),
    (request) => `${request.path} ${request.session} ${request.event}`,
  );
  return [...groups.values()].flatMap((requests) => checkDelivery(evidence, requests));
}

function checkDelivery(evidence: Evidence, requests: readonly SinkRequest[]): Violation[] {
  const first = requests[0];
  if (first === undefined) return [];
  const endpoint = evidence.pathOf.get(first.path);
  // A path that is nobody's endpoint is a matter of I5 and I9.
  if (endpoint === undefined) return [];
  const name = `${first.event} of ${first.session}`;
  const found: Violation[] = [];
  const max = endpoint.attempts ?? (first.event === "session.finalized" ? finalizedMax : othersMax);
  if (requests.length > max) {
    found.push(
      violation("I2", `${name} began ${requests.length} times, expected at most ${max}`, ...shown(requests)),
    );
  }
  if (new Set(requests.map(webhookIdOf)).size > 1) {
    found.push(violation("I2", `${name} came with several webhook-ids`, ...shown(requests)));
  }
  const attempts = requests.map((request) => Number(attemptOf(request)));
  if (attempts.some((attempt, index) => index > 0 && attempt <= (attempts[index - 1] ?? 0))) {
    found.push(violation("I2", `the attempts of ${name} came as ${attempts.join(", ")}`, ...shown(requests)));
  }
  requests.forEach((request, index) => {
    const before = requests[index - 1];
    if (before === undefined) return;
    if (before.closedNs === null || before.closedNs > request.beginNs) {
      found.push(
        violation(
          "I2",
          `an attempt of ${name} began while the one before was open`,
          ...shown([before, request]),
        ),
      );
    }
    if (endpoint.attempts === null && !hasReason(evidence, before, request)) {
      found.push(
        violation("I2", `${name} was sent again though nothing had died`, ...shown([before, request])),
      );
    }
  });
  return found;
}

/** A second attempt without retries needs a crash or PostgreSQL away: a fault in between, and a row that says `unknown` of the first. */
function hasReason({ history, logsOf }: Evidence, before: SinkRequest, again: SinkRequest): boolean {
  const row = logsOf
    .get(webhookIdOf(before))
    ?.find((candidate) => String(candidate.attempt) === attemptOf(before));
  const between = (ns: number): boolean => ns < again.beginNs && ns > before.beginNs - 15 * secondNs;
  const isMoved = history.moves.some(
    ({ fromNs, toNs }) => fromNs < again.beginNs && toNs > before.beginNs - 15 * secondNs,
  );
  return row?.outcome === "unknown" && (isMoved || history.faults.some(({ ns }) => between(ns)));
}

/** A request without its body, for the report of a violation. */
export const shown = (requests: readonly SinkRequest[]): object[] =>
  requests.map(({ body: _body, ...rest }) => rest);
