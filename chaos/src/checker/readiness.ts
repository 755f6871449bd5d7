import type { Move, Readiness, Span } from "../history.ts";
import { secondNs } from "../monotonic.ts";
import { type Evidence, groupBy, type Violation, violation } from "./evidence.ts";
import { covers, uptimes, upWindows } from "./uptime.ts";

/** So long a process may believe that it can write: what it asks is refused at once, or is not answered at all. */
const refusedNs = 2 * secondNs;
const silentNs = 5 * secondNs;
/** Nothing was begun for 10 s though work was due: then the watchdog has 2 s to say so. */
const idleNs = 12 * secondNs;
/** A probe is not made at the instant of the question, on two busy cores. */
const slackNs = secondNs;
/** A process that is ready again has so long to take a report, or to begin an attempt. */
const soonNs = 2 * secondNs;
/** So many reports that failed tell that none can be taken. */
const failuresMin = 5;

/** L6: no process answers /readyz 200 while it could not write, or does no work. */
export function checkReadiness(evidence: Evidence): Violation[] {
  const ready = evidence.history.readiness.filter((poll) => poll.status === 200);
  return [
    ...evidence.history.moves.flatMap((move) => readyThough(evidence, move, ready)),
    ...together(idleApis(evidence, ready)),
    ...together(idleWorkers(evidence, ready)),
  ];
}

interface Idle {
  readonly poll: Readiness;
  readonly why: string;
  readonly during: Move | undefined;
}

/** What could not be written, nobody can have believed to be writable for longer than a probe takes. */
function readyThough({ patience }: Evidence, move: Move, ready: readonly Readiness[]): Violation[] {
  const toleranceNs = (move.name === "hang" ? silentNs : refusedNs) + slackNs;
  const wrong = ready.filter((poll) =>
    move.unwritable.some(
      ({ fromNs, toNs }) => poll.askedNs > patience.after(fromNs, toleranceNs) && poll.ns < toNs,
    ),
  );
  return [...groupBy(wrong, (poll) => poll.member)].map(([member, polls]) =>
    violation(
      "L6",
      `${member} answered ${polls.length} times that it is ready, though nothing could be written (${move.name})`,
      move,
      polls[0],
      polls.at(-1),
    ),
  );
}

/** An API that took none of many reports for so long. */
function* idleApis({ history, patience }: Evidence, ready: readonly Readiness[]): Generator<Idle> {
  const living = uptimes(history, "api");
  const triesOf = groupBy(history.tries, (entry) => entry.api);
  for (const poll of ready) {
    const fromNs = patience.before(poll.askedNs, silentNs + slackNs);
    if (!covers(living.get(poll.member) ?? [], fromNs, poll.askedNs)) continue;
    const tries = (triesOf.get(poll.member) ?? []).filter(
      ({ startNs, endNs }) => endNs >= fromNs && startNs <= poll.askedNs,
    );
    const soon = patience.after(poll.ns, soonNs + slackNs);
    const took = (triesOf.get(poll.member) ?? []).some(
      ({ result, endNs }) => result === "ok" && endNs >= fromNs && endNs <= soon,
    );
    if (took) continue;
    const failures = tries.filter(({ result, endNs }) => result === "unknown" && endNs <= poll.askedNs);
    // Since the beginning of that time: before, it may have been asked for nothing.
    const isLong = failures.some(({ endNs }) => endNs <= fromNs + secondNs);
    if (failures.length < failuresMin || !isLong) continue;
    yield { poll, why: "it took no report", during: moveAt(history.moves, fromNs, poll.askedNs) };
  }
}

/** A worker that neither began nor stored anything for so long, though something was due all the time. */
function* idleWorkers(evidence: Evidence, ready: readonly Readiness[]): Generator<Idle> {
  const { history, clock, patience } = evidence;
  const living = uptimes(history, "worker");
  const database = upWindows(history, ["postgres"]);
  const due = dueSpans(evidence);
  const workedNs = [
    ...history.requests.map(({ beginNs }) => beginNs),
    ...history.tables.logs.map((row) => clock.ns(row.loggedMs)),
  ].sort((one, other) => one - other);
  for (const poll of ready) {
    // What holds a table or all connections does not refuse: PostgreSQL is there.
    const silentFromNs = patience.before(poll.askedNs, silentNs + slackNs);
    const during = moveAt(
      history.moves.filter(({ name }) => name === "lock" || name === "no-connections"),
      silentFromNs,
      poll.askedNs,
    );
    const idleFromNs = patience.before(poll.askedNs, idleNs + slackNs);
    const fromNs = during === undefined ? idleFromNs : silentFromNs;
    if (during === undefined && !covers(database, fromNs, poll.askedNs)) continue;
    if (!covers(living.get(poll.member) ?? [], fromNs, poll.askedNs)) continue;
    if (
      hasBetween(workedNs, fromNs, patience.after(poll.ns, soonNs + slackNs)) ||
      !covers(due, fromNs, poll.askedNs)
    )
      continue;
    yield { poll, why: "nothing was begun, and something was due", during };
  }
}

/** A move that covers all of it. */
const moveAt = (moves: readonly Move[], fromNs: number, toNs: number): Move | undefined =>
  moves.find((move) => move.fromNs <= fromNs && move.toNs >= toNs);

/** One violation for each process and each stretch of time. */
function together(found: Iterable<Idle>): Violation[] {
  const groups = groupBy(found, ({ poll, why, during }) => `${poll.member} ${why} ${during?.fromNs}`);
  return [...groups.values()].flatMap((idles) => {
    const first = idles[0];
    if (first === undefined) return [];
    return violation(
      "L6",
      `${first.poll.member} answered ${idles.length} times that it is ready, though ${first.why} (${first.during?.name ?? "no move"})`,
      first.poll,
      idles.at(-1)?.poll,
      first.during,
    );
  });
}

/** When some delivery waited for nothing but its first attempt. */
function dueSpans({ history, clock, eventsOf, logsOf, endpointOf }: Evidence): Span[] {
  const spans: Span[] = [];
  for (const events of eventsOf.values()) {
    let freeNs = 0;
    for (const event of events) {
      if (!endpointOf.get(event.project)?.events.includes(event.event)) continue;
      const rows = logsOf.get(event.webhookId) ?? [];
      const inLane = event.event !== "recording.ready";
      const fromNs = Math.max(clock.ns(event.emittedMs), inLane ? freeNs : 0);
      const first = rows[0];
      const toNs = first === undefined ? history.endNs : clock.ns(first.attemptedMs);
      if (toNs > fromNs) spans.push({ fromNs, toNs });
      const settled = rows.find((row) => row.settledAs !== null);
      if (inLane) freeNs = settled === undefined ? Number.POSITIVE_INFINITY : clock.ns(settled.loggedMs);
    }
  }
  return spans;
}

function hasBetween(sortedNs: readonly number[], fromNs: number, toNs: number): boolean {
  let low = 0;
  let high = sortedNs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sortedNs[middle] ?? 0) < fromNs) low = middle + 1;
    else high = middle;
  }
  return (sortedNs[low] ?? Number.POSITIVE_INFINITY) <= toNs;
}
