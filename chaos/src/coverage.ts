import { type Evidence, groupBy, webhookIdOf } from "./checker/evidence.ts";
import type { Fault, Features, History } from "./history.ts";
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
    unknownRows: unknownRows.length,
    redeliveries: [...byEvent.values()].filter((group) => group.length > 1).length,
    finalizedUnknown: unknownRows.filter((row) => row.settledAs === "unknown").length,
    retries: tables.logs.filter((row) => row.trigger === "retry").length,
    ownEvents,
    recordingsBesideLane: recordingsBesideLane(evidence),
    outcomes: Object.fromEntries(outcomes) as Record<string, number>,
  };
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

/** Least figures of a run of 300 s; a shorter one needs its share. Source: guarantees, "The proof". */
const floors: Partial<Record<keyof Coverage, number>> = {
  kills: 300,
  killsOfPostgres: 30,
  killsInFlight: 60,
  stopsBeyondLease: 20,
  unknownRows: 100,
  redeliveries: 40,
  finalizedUnknown: 10,
  duplicates: 300,
};
const floorSeconds = 300;

/** Which figures are too low to decide anything, as sentences. */
export function tooLow(coverage: Coverage, seconds: number): string[] {
  return Object.entries(floors).flatMap(([name, floor]) => {
    const least = Math.floor((floor * seconds) / floorSeconds);
    const got = coverage[name as keyof Coverage] as number;
    return got < least ? [`${name} is ${got}, expected at least ${least}`] : [];
  });
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
