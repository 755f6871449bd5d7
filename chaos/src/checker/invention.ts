import type { EventRow, SinkRequest } from "../history.ts";
import { msNs } from "../monotonic.ts";
import { sha256 } from "../sink-log.ts";
import {
  attemptOf,
  contentOf,
  type Evidence,
  eventOfKind,
  isOwn,
  payloadOf,
  sessionKey,
  type Violation,
  violation,
  webhookIdOf,
} from "./evidence.ts";
import { shown } from "./posts.ts";

/** PostgreSQL's microseconds and a double's rounding. */
const roundingNs = 0.1 * msNs;

/** I5: no invention. What is on the wire was committed before, in these bytes, for a report that was sent. */
export function checkInvention(evidence: Evidence): Violation[] {
  return [
    ...evidence.history.requests.flatMap((request) => checkRequest(evidence, request)),
    ...evidence.history.tables.events.flatMap((event) => checkEvent(evidence, event)),
  ];
}

/** I9 as far as the sink can see it: nothing came to where nothing may. */
export function checkTrespass({ history }: Evidence): Violation[] {
  return history.trespasses.map((trespass) => violation("I9", trespass.what, trespass));
}

function checkRequest(evidence: Evidence, request: SinkRequest): Violation[] {
  const webhookId = webhookIdOf(request);
  const event = evidence.eventById.get(webhookId);
  const complain = (what: string, ...more: unknown[]): Violation =>
    violation("I5", `request ${request.id}: ${what}`, ...shown([request]), ...more);
  if (event === undefined) return [complain(`no event has the webhook-id ${JSON.stringify(webhookId)}`)];
  const endpoint = evidence.pathOf.get(request.path);
  if (endpoint?.project !== event.project) return [complain("it is another project's endpoint", event)];
  const rows = (evidence.logsOf.get(webhookId) ?? []).filter(
    (row) => String(row.attempt) === attemptOf(request),
  );
  const row = rows[0];
  if (row === undefined) return [complain("no row of webhook_logs tells of it", event)];
  const found: Violation[] = [];
  const { ns, errorNs } = evidence.clock.at(row.attemptedMs);
  if (ns - errorNs - roundingNs > request.beginNs) {
    found.push(complain("it began before its attempt was committed", row, { attemptedNs: ns, errorNs }));
  }
  const twins = evidence.requestsOf.get(`${webhookId} ${attemptOf(request)}`) ?? [];
  if (twins.length > 1 && twins[0] === request) {
    found.push(complain(`one attempt made ${twins.length} requests`, ...shown(twins), row));
  }
  if (request.body === null) return found;
  if (request.sha256 !== sha256(event.payload)) {
    found.push(complain("its bytes are not the stored ones", { body: request.body, stored: event.payload }));
  }
  if (request.event !== event.event || request.session !== event.session) {
    found.push(complain("its body is another event's", event));
  }
  return found;
}

/** An event says what some report said, whether or not its client learned that it was taken; or it is Sendoff's own. */
function checkEvent({ triesOf, eventsOf }: Evidence, event: EventRow): Violation[] {
  const tries = triesOf.get(sessionKey(event)) ?? [];
  const complain = (what: string, ...more: unknown[]): Violation[] => [
    violation("I5", `${event.event} of ${event.session}: ${what}`, event, ...more),
  ];
  if (tries.length === 0) return complain("nobody has reported anything of this session");
  const payload = payloadOf(event);
  if (event.event === "session.finalized") {
    const parts = (eventsOf.get(sessionKey(event)) ?? []).filter((other) =>
      ["session.ended", "call.ended"].includes(other.event),
    );
    const wrong = parts.filter((part) => !includes(payload, payloadOf(part)));
    return wrong.length === 0 ? [] : complain("it does not say what the events before it said", ...wrong);
  }
  if (isOwn(event)) return [];
  const said = tries.some(
    (entry) =>
      eventOfKind[entry.kind] === event.event &&
      contentOf(entry.kind, entry.body) === contentOf(entry.kind, payload),
  );
  return said ? [] : complain("no report said so");
}

/** Whether the last event repeats the facts of an earlier one. */
function includes(final: Record<string, unknown>, part: Record<string, unknown>): boolean {
  const facts = ["currentNodeId", "messagesCount", "extractedVariables", "callStatus", "callDuration"];
  return facts
    .filter((name) => name in part)
    .every((name) => JSON.stringify(final[name]) === JSON.stringify(part[name]));
}
