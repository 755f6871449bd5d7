import { type Evidence, groupBy, webhookIdOf } from "./checker/evidence.ts";
import { returnsOf } from "./checker/returns.ts";
import { type Fault, type Features, type History, type MoveName, moveNames } from "./history.ts";
import { msNs } from "./monotonic.ts";
import { leaseOf } from "./settings.ts";

/** What a run has hit, in figures. */
export interface Coverage {
  readonly sessions: number;
  readonly commands: number;
  readonly tries: number;
  readonly ok: number;
  readonly refused: number;
  readonly unknown: number;
  readonly duplicates: number;
  readonly events: number;
  readonly requests: number;
  readonly kills: number;
  readonly killsOfApi: number;
  readonly killsOfWorker: number;
  readonly killsOfPostgres: number;
  /** Kills of a process that does deliveries, or of PostgreSQL, with a request open at the sink. */
  readonly killsInFlight: number;
  readonly stops: number;
  readonly stopsBeyondLease: number;
  /** How often each fault of PostgreSQL was made that lasts. */
  readonly moves: Readonly<Record<MoveName, number>>;
  readonly outagesBeyondLease: number;
  /** Returns of PostgreSQL after which an API, and a worker, was judged on how long it took to go on. */
  readonly returnsJudged: number;
  readonly readinessAsked: number;
  /** Attempts whose worker was lost. */
  readonly unknownRows: number;
  readonly redeliveries: number;
  readonly finalizedUnknown: number;
  readonly retries: number;
  readonly ownEvents: number;
  /** recording.ready that began while its session's lane had something unsettled. */
  readonly recordingsBesideLane: number;
  readonly outcomes: Readonly<Record<string, number>>;
}

export function coverageOf(history: History, evidence: Evidence, ownEvents: number): Coverage {
  const { tries, tables, requests, faults } = history;
  const count = (result: string): number => tries.filter((entry) => entry.result === result).length;
  const kills = faults.filter((fault) => fault.kind === "kill");
  const killsOf = (target: string): number => kills.filter((fault) => fault.target === target).length;
  const stops = faults.filter((fault) => fault.kind === "stop");
  const outcomes = [...groupBy(tables.logs, (row) => row.outcome)].map(([name, rows]) => [name, rows.length]);
  const byEvent = groupBy(requests, webhookIdOf);
  const unknownRows = tables.logs.filter((row) => row.outcome === "unknown");
  return {
    sessions: new Set(tries.map((entry) => `${entry.project} ${entry.session}`)).size,
    commands: new Set(tries.map((entry) => entry.command)).size,
    tries: tries.length,
    ok: count("ok"),
    refused: count("refused"),
    unknown: count("unknown"),
    duplicates: tries.filter((entry) => entry.duplicate).length,
    events: tables.events.length,
    requests: requests.length,
    kills: kills.length,
    killsOfApi: killsOf("api"),
    killsOfWorker: killsOf("worker"),
    killsOfPostgres: killsOf("postgres"),
    killsInFlight: kills.filter(wasInFlight).length,
    stops: stops.length,
    stopsBeyondLease: stops.filter((fault) => (fault.stopMs ?? 0) > leaseOf(history.settings)).length,
    moves: movesOf(history),
    outagesBeyondLease: history.moves.filter(
      ({ name, fromNs, toNs }) => name === "outage" && toNs - fromNs > leaseOf(history.settings) * msNs,
    ).length,
    returnsJudged: returnsOf(evidence).filter(({ apis, workers }) => apis.length > 0 && workers.length > 0)
      .length,
    readinessAsked: history.readiness.length,
    unknownRows: unknownRows.length,
    redeliveries: [...byEvent.values()].filter((group) => group.length > 1).length,
    finalizedUnknown: unknownRows.filter((row) => row.settledAs === "unknown").length,
    retries: tables.logs.filter((row) => row.trigger === "retry").length,
    ownEvents,
    recordingsBesideLane: recordingsBesideLane(evidence),
    outcomes: Object.fromEntries(outcomes) as Record<string, number>,
  };
}

function movesOf({ moves }: History): Record<MoveName, number> {
  const counts = moveNames.map((name) => [name, moves.filter((move) => move.name === name).length]);
  return Object.fromEntries(counts) as Record<MoveName, number>;
}

const wasInFlight = (fault: Fault): boolean => fault.target !== "api" && fault.inFlight.length > 0;

function recordingsBesideLane({ eventsOf, logsOf }: Evidence): number {
  let sum = 0;
  for (const events of eventsOf.values()) {
    const recording = events.find((row) => row.event === "recording.ready");
    const begun = recording && logsOf.get(recording.webhookId)?.[0];
    if (recording === undefined || begun === undefined) continue;
    const beside = events.some((event) => {
      const settled = logsOf.get(event.webhookId)?.find((row) => row.settledAs !== null);
      return (
        event !== recording &&
        settled !== undefined &&
        event.emittedMs < begun.attemptedMs &&
        settled.loggedMs > begun.attemptedMs
      );
    });
    if (beside) sum += 1;
  }
  return sum;
}

type Figure = { [Key in keyof Coverage]: Coverage[Key] extends number ? Key : never }[keyof Coverage];

/**
 * Least figures of a run of 300 s; a shorter one needs its share. Source: guarantees, "The proof". Kills and stops have
 * about half of the time: they wait for most of the moves.
 */
const floors: Partial<Record<Figure, number>> = {
  kills: 100,
  killsOfPostgres: 10,
  killsInFlight: 30,
  stopsBeyondLease: 8,
  unknownRows: 100,
  redeliveries: 40,
  finalizedUnknown: 10,
  duplicates: 300,
  outagesBeyondLease: 7,
  returnsJudged: 9,
};
/** How often each move is made in 300 s at least. */
const moveFloors: Readonly<Record<MoveName, number>> = {
  ...{ outage: 7, hang: 1, promotion: 1, "read-only": 1 },
  ...{ lock: 1, "full-disk": 1, "no-connections": 1 },
};
const floorSeconds = 300;

/** Which figures are too low to decide anything, as sentences. */
export function tooLow(coverage: Coverage, seconds: number, canFillDisk: boolean): string[] {
  const share = (floor: number): number => Math.floor((floor * seconds) / floorSeconds);
  return [
    ...Object.entries(floors).map(([name, floor]) => [name, coverage[name as Figure], share(floor)] as const),
    ...moveNames
      .filter((name) => canFillDisk || name !== "full-disk")
      .map((name) => [`moves ${name}`, coverage.moves[name], share(moveFloors[name])] as const),
  ].flatMap(([name, got, least]) => (got < least ? [`${name} is ${got}, expected at least ${least}`] : []));
}

/** Which moves were asked for by name and not made as often, as sentences; what cannot be done here is none. */
export function notMade(
  coverage: Coverage,
  names: readonly MoveName[] | null,
  canFillDisk: boolean,
): string[] {
  const asked = (name: MoveName): number => (names ?? []).filter((one) => one === name).length;
  return moveNames
    .filter((name) => canFillDisk || name !== "full-disk")
    .filter((name) => coverage.moves[name] < asked(name))
    .map((name) => `${name} was made ${coverage.moves[name]} times, asked for were ${asked(name)}`);
}

/** What was not tested, because the server does not have it. */
export function notCovered(features: Features): string[] {
  const what: Record<keyof Features, string> = {
    deadlines: "deadlines of sessions (SENDOFF_CONVERSATION_GRACE and its like)",
    retries: "endpoints with retries",
    egress: "forbidden addresses (SENDOFF_EGRESS_DENY)",
    roles: "API and workers apart (sendoff api, sendoff worker)",
  };
  return (Object.keys(what) as Array<keyof Features>)
    .filter((name) => !features[name])
    .map((name) => what[name]);
}
