import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";

/** What /metrics tells, counted since this process began unless it says otherwise. The names are a contract. */
export interface Metrics {
  readonly registry: Registry;
  /** What only PostgreSQL knows: not told while it is away. */
  readonly databaseRegistry: Registry;
  readonly reports: Counter<"type" | "result">;
  readonly events: Counter<"event">;
  readonly attempts: Counter<"outcome" | "trigger">;
  readonly settled: Counter<"state">;
  readonly takenOver: Counter<"result">;
  readonly limited: Counter<"limit">;
  readonly connectionsCut: Counter<"reason">;
  readonly inFlight: Gauge;
  readonly queueAge: Gauge;
  readonly pending: Gauge;
  readonly databaseUp: Gauge;
  readonly feedStreams: Gauge;
  readonly feedHeldBack: Gauge;
  readonly retention: Counter<"what">;
}

/** Counters of one process in a registry of its own, so that several can stand in one process of a test. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const databaseRegistry = new Registry();
  const ofDatabase = [databaseRegistry];
  collectDefaultMetrics({ register: registry });
  return {
    registry,
    databaseRegistry,
    reports: new Counter({
      name: "sendoff_reports_total",
      help: "Reports by type and result: accepted, duplicate, late or refused.",
      labelNames: ["type", "result"],
      registers,
    }),
    events: new Counter({
      name: "sendoff_events_total",
      help: "Emitted events by name.",
      labelNames: ["event"],
      registers,
    }),
    attempts: new Counter({
      name: "sendoff_attempts_total",
      help: "Attempts by outcome and trigger.",
      labelNames: ["outcome", "trigger"],
      registers,
    }),
    settled: new Counter({
      name: "sendoff_deliveries_settled_total",
      help: "Deliveries by the state they settled in.",
      labelNames: ["state"],
      registers,
    }),
    takenOver: new Counter({
      name: "sendoff_deliveries_taken_over_total",
      help: "Deliveries of dead workers: settled as unknown, or due again.",
      labelNames: ["result"],
      registers,
    }),
    limited: new Counter({
      name: "sendoff_requests_limited_total",
      help: "Requests answered with 429 or 503: by the limit of a key, of wrong keys from an address, of an inspector, of bodies or answers under way.",
      labelNames: ["limit"],
      registers,
    }),
    connectionsCut: new Counter({
      name: "sendoff_connections_cut_total",
      help: "Connections that the server cut: the address had too many, all had, or an answer was not read.",
      labelNames: ["reason"],
      registers,
    }),
    inFlight: new Gauge({
      name: "sendoff_attempts_in_flight",
      help: "Attempts under way in this process.",
      registers,
    }),
    queueAge: new Gauge({
      name: "sendoff_queue_age_seconds",
      help: "For how long the delivery that is due the longest has been due, over all processes.",
      registers: ofDatabase,
    }),
    pending: new Gauge({
      name: "sendoff_deliveries_pending",
      help: "Deliveries that wait for an attempt, over all processes (an estimate above 10,000).",
      registers: ofDatabase,
    }),
    databaseUp: new Gauge({
      name: "sendoff_database_up",
      help: "Whether PostgreSQL answered this scrape: 1 or 0. At 0 the metrics that only it knows are left out.",
      registers,
    }),
    feedStreams: new Gauge({
      name: "sendoff_feed_streams",
      help: "Live streams of the events feed that are open in this process.",
      registers,
    }),
    feedHeldBack: new Gauge({
      name: "sendoff_feed_held_back_seconds",
      help: "For how long one open transaction that wrote events has held the feed back; 0 when none does.",
      registers,
    }),
    retention: new Counter({
      name: "sendoff_retention_removed_total",
      help: "What was removed for its age: partitions, sessions, events, recordings, inspector_requests.",
      labelNames: ["what"],
      registers,
    }),
  };
}
