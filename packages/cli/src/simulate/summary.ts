import { type AgentEvent, agentEvents } from "@sendoff/contract";
import { visible } from "../visible.ts";
import type { LogRow } from "./check.ts";
import { type Fault, type FaultKind, faultKinds } from "./faults.ts";
import { eventsCertain, type Journal, knownBefore, type Mistake } from "./journal.ts";
import type { Wire } from "./wire.ts";

/** So many of each list are shown. */
const shownMax = 10;

/** The result of a simulation. `--json` prints it as it is. */
export interface Summary {
  readonly ok: boolean;
  readonly run: string | null;
  readonly seed: number;
  readonly durationMs: number;
  readonly sessions: {
    readonly total: number;
    readonly call: number;
    readonly text: number;
    readonly knownBefore: number;
  };
  readonly reports: {
    readonly sent: number;
    readonly duplicates: number;
    readonly retried: number;
    readonly refused: number;
    readonly unanswered: number;
  };
  /** Deliveries that are owed, by event. Only those that the agent's webhook is subscribed to. */
  readonly expected: Readonly<Partial<Record<AgentEvent, number>>>;
  /** Deliveries that settled, by how. */
  readonly settled: Readonly<Record<string, number>>;
  /** Attempts in webhook_logs, and requests at the inspector (null: the webhook points elsewhere). */
  readonly attempts: { readonly logged: number; readonly arrived: number | null };
  /** From the moment the report that emitted the event was sent to its arrival at the inspector. null: none arrived. */
  readonly latency: { readonly events: number; readonly p50Ms: number; readonly p99Ms: number } | null;
  readonly faults: Readonly<Record<FaultKind, { readonly count: number; readonly first: readonly Fault[] }>>;
  readonly mistakes: { readonly refused: readonly Mistake[]; readonly unanswered: readonly Mistake[] };
}

/** What a summary is made from. */
export interface SummaryInput {
  readonly run: string | null;
  readonly seed: number;
  readonly durationMs: number;
  readonly journal: Journal;
  readonly subscribed: readonly AgentEvent[];
  readonly rows: readonly LogRow[];
  readonly wire: Wire | null;
  readonly faults: readonly Fault[];
}

/** Counts what happened in a run. */
export function summarize(input: SummaryInput): Summary {
  const { journal, faults } = input;
  const records = [...journal.sessions.values()];
  const calls = records.filter((record) => record.plan.channel === "call").length;
  return {
    ok: faults.length === 0 && journal.refused.length === 0 && journal.gaveUp.length === 0,
    run: input.run,
    seed: input.seed,
    durationMs: Math.round(input.durationMs),
    sessions: {
      total: records.length,
      call: calls,
      text: records.length - calls,
      knownBefore: records.filter(knownBefore).length,
    },
    reports: {
      sent: journal.sent,
      duplicates: journal.duplicates,
      retried: journal.retried,
      refused: journal.refused.length,
      unanswered: journal.gaveUp.length,
    },
    expected: expectedCounts(journal, input.subscribed),
    settled: settledCounts(input.rows),
    attempts: { logged: input.rows.length, arrived: input.wire?.count ?? null },
    latency: latencyOf(journal, input.wire),
    faults: faultLists(faults),
    mistakes: { refused: journal.refused.slice(0, shownMax), unanswered: journal.gaveUp.slice(0, shownMax) },
  };
}

/** The summary as text for people. */
export function summaryText(summary: Summary): string {
  const { sessions, reports, latency, attempts } = summary;
  const number = (value: number): string => value.toLocaleString("en-US");
  const listed = (counts: Readonly<Record<string, number | undefined>>): string =>
    Object.entries(counts)
      .map(([name, count]) => `${name} ${number(count ?? 0)}`)
      .join(", ") || "none";
  const rows: [string, string][] = [
    ["sessions", `${number(sessions.total)} (${number(sessions.call)} calls, ${number(sessions.text)} text)`],
    [
      "reports",
      `${number(reports.sent)} sent, ${number(reports.duplicates)} answered as duplicates, ${number(reports.retried)} retried, ${number(reports.refused)} refused, ${number(reports.unanswered)} unanswered`,
    ],
    ["expected", listed(summary.expected)],
    ["settled", listed(summary.settled)],
    ["attempts", `${number(attempts.logged)} in webhook_logs, ${arrivedText(attempts.arrived, number)}`],
    ["latency", latencyText(latency, number)],
    [
      "duration",
      `${(summary.durationMs / 1_000).toFixed(1)} s (seed ${summary.seed}${summary.run === null ? "" : `, run ${summary.run}`})`,
    ],
    ...faultKinds.map((kind): [string, string] => [faultLabels[kind], number(summary.faults[kind].count)]),
  ];
  const lines = rows.map(([label, text]) => `  ${label.padEnd(13)} ${text}`);
  return [...lines, ...details(summary), "", verdict(summary), ""].join("\n");
}

const faultLabels: Readonly<Record<FaultKind, string>> = {
  missing: "missing",
  duplicate: "duplicate",
  unexpected: "unexpected",
  outOfOrder: "out of order",
  invalid: "invalid",
  log: "log differs",
};

function details(summary: Summary): string[] {
  const faults = faultKinds.flatMap((kind) => {
    const { count, first } = summary.faults[kind];
    const list = first.map((fault) => `${fault.sessionId} ${fault.event ?? ""}: ${fault.detail}`);
    return block(faultLabels[kind], count, list);
  });
  const mistakes = (label: string, count: number, list: readonly Mistake[]): string[] =>
    block(
      label,
      count,
      list.map((one) => `${one.sessionId} ${one.request}: ${one.problem}`),
    );
  return [
    ...faults,
    ...mistakes("refused", summary.reports.refused, summary.mistakes.refused),
    ...mistakes("unanswered", summary.reports.unanswered, summary.mistakes.unanswered),
  ];
}

function block(label: string, count: number, list: readonly string[]): string[] {
  if (count === 0) return [];
  const more = count > list.length ? [`    and ${count - list.length} more`] : [];
  return ["", `  ${label}:`, ...list.map((line) => `    ${visible(line, 400)}`), ...more];
}

function verdict(summary: Summary): string {
  if (!summary.ok) return "Something is wrong: see the lists above.";
  const checked = summary.sessions.total - summary.sessions.knownBefore;
  const left =
    summary.sessions.knownBefore === 0
      ? ""
      : ` ${summary.sessions.knownBefore} sessions were known before this run and are left out.`;
  if (Object.keys(summary.expected).length === 0)
    return `The agent has no webhook, so nothing was owed.${left}`;
  const settled = Object.values(summary.settled).reduce((sum, count) => sum + count, 0);
  const undelivered = settled - (summary.settled.delivered ?? 0);
  const sessions = `${checked.toLocaleString("en-US")} sessions`;
  if (undelivered === 0) return `All ${sessions} got exactly their events, in order.${left}`;
  return `All events of ${sessions} were sent in order and none twice without need, but ${undelivered} settled other than delivered (see settled).${left}`;
}

const arrivedText = (arrived: number | null, number: (value: number) => string): string =>
  arrived === null
    ? "the webhook does not point at the inspector, so the wire was not checked"
    : `${number(arrived)} at the inspector`;

const latencyText = (latency: Summary["latency"], number: (value: number) => string): string =>
  latency === null
    ? "not known"
    : `p50 ${number(latency.p50Ms)} ms, p99 ${number(latency.p99Ms)} ms, from sending the report to arrival at the inspector (${number(latency.events)} events)`;

function expectedCounts(journal: Journal, subscribed: readonly AgentEvent[]): Summary["expected"] {
  const counts: Partial<Record<AgentEvent, number>> = {};
  for (const event of agentEvents) if (subscribed.includes(event)) counts[event] = 0;
  for (const record of journal.sessions.values()) {
    if (knownBefore(record)) continue;
    for (const event of eventsCertain(record)) {
      const count = counts[event];
      if (count !== undefined) counts[event] = count + 1;
    }
  }
  return counts;
}

function settledCounts(rows: readonly LogRow[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { settledAs } of rows) if (settledAs !== null) counts[settledAs] = (counts[settledAs] ?? 0) + 1;
  return counts;
}

function latencyOf(journal: Journal, wire: Wire | null): Summary["latency"] {
  if (wire === null) return null;
  const samples: number[] = [];
  for (const [sessionId, record] of journal.sessions) {
    for (const arrival of wire.of(sessionId)) {
      const sentAtMs = record.emittedBy.get(arrival.event);
      if (sentAtMs !== undefined && arrival.attempt === 1) samples.push(arrival.receivedAtMs - sentAtMs);
    }
  }
  samples.sort((left, right) => left - right);
  if (samples.length === 0) return null;
  return { events: samples.length, p50Ms: percentile(samples, 50), p99Ms: percentile(samples, 99) };
}

/** Nearest rank. */
function percentile(sorted: readonly number[], percent: number): number {
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? 0;
}

function faultLists(faults: readonly Fault[]): Summary["faults"] {
  const of = (kind: FaultKind) => {
    const list = faults.filter((fault) => fault.kind === kind);
    return { count: list.length, first: list.slice(0, shownMax) };
  };
  return {
    missing: of("missing"),
    duplicate: of("duplicate"),
    unexpected: of("unexpected"),
    outOfOrder: of("outOfOrder"),
    invalid: of("invalid"),
    log: of("log"),
  };
}
