/** Everything that a run leaves behind and the checker decides on. Moments are monotonic nanoseconds (monotonic.ts). */

export type EventName = "session.ended" | "call.ended" | "session.finalized" | "recording.ready";
export type CommandKind =
  | "created"
  | "progress"
  | "conversation-ended"
  | "call-ended"
  | "recording-processed";

/** One sending of a command; the same command is sent again as long as its result is unknown. */
export interface Try {
  readonly command: number;
  /** 1 for the first. */
  readonly number: number;
  /** The member of the system that it was sent to. */
  readonly api: string;
  readonly project: string;
  readonly session: string;
  readonly kind: CommandKind;
  readonly body: Readonly<Record<string, unknown>>;
  readonly startNs: number;
  readonly endNs: number;
  readonly result: "ok" | "refused" | "unknown";
  readonly status: number | null;
  /** The error's code, or why there was no answer; null when ok. */
  readonly reason: string | null;
  readonly duplicate: boolean;
  /** The answer says that it came after its deadline: it is kept and implies no event. */
  readonly late: boolean;
  /** The events that the answer names. */
  readonly events: readonly string[];
}

/** One request as the sink saw it. */
export interface SinkRequest {
  readonly id: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** First byte of the request. */
  readonly beginNs: number;
  /** The wall clock at that moment, in milliseconds. */
  readonly wallMs: number;
  /** null when the request broke off before its end. */
  readonly body: string | null;
  /** sha256 of the body without its recordingUrl, in hex. */
  readonly sha256: string | null;
  readonly event: string | null;
  readonly session: string | null;
  /** When an answer was begun, and its status. */
  readonly answer: { readonly ns: number; readonly status: number } | null;
  /** The answer was fully sent or the connection was gone, whichever was first; null: still open at the end. */
  readonly closedNs: number | null;
  /** True when the answer was fully handed to the network. */
  readonly sent: boolean;
}

/** Something that reached the sink where nothing may: a redirect that was followed, a forbidden address. */
export interface Trespass {
  readonly ns: number;
  readonly what: string;
}

export type FaultTarget = "api" | "worker" | "postgres";

/** One thing that the nemesis did. */
export interface Fault {
  readonly ns: number;
  readonly kind: "kill" | "stop" | "continue";
  readonly target: FaultTarget;
  /** Which process of the target: of Sendoff parent or child, of PostgreSQL postmaster, backend or all. */
  readonly part: string;
  readonly member: string;
  /** Planned length of a stop. */
  readonly stopMs: number | null;
  /** Requests open at the sink at that moment, as "session event". */
  readonly inFlight: readonly string[];
}

/** Faults of PostgreSQL and its machine, as an operator knows them. */
export const moveNames = [
  "outage",
  "hang",
  "promotion",
  "read-only",
  "lock",
  "full-disk",
  "no-connections",
] as const;
export type MoveName = (typeof moveNames)[number];

export interface Span {
  readonly fromNs: number;
  readonly toNs: number;
}

/** One fault of PostgreSQL that lasted for a while, from when it had its effect until it could be written again. */
export interface Move extends Span {
  readonly name: MoveName;
  /** How it was done: which processes, which table, whether connections were ended. */
  readonly how: string;
  /** When nothing could be written, as far as that is certain. */
  readonly unwritable: readonly Span[];
}

/** One answer to GET /readyz. */
export interface Readiness {
  readonly member: string;
  readonly askedNs: number;
  readonly ns: number;
  /** null: no answer, or none in time. */
  readonly status: number | null;
}

/** The rig's own timer fired: on a busy machine later than it should, and by as much everybody else is late. */
export interface Tick {
  readonly ns: number;
}

/** A member of the system began or ceased to be able to work. */
export interface Availability {
  readonly ns: number;
  readonly member: string;
  readonly roles: ReadonlyArray<"api" | "worker" | "postgres">;
  readonly up: boolean;
}

/** One look at both clocks: the database said `databaseMs` somewhere between the two moments. */
export interface ClockSample {
  readonly beforeNs: number;
  readonly afterNs: number;
  readonly databaseMs: number;
}

export interface Endpoint {
  readonly project: string;
  readonly endpointId: string;
  /** Path at the sink; null for the one that points at a forbidden address. */
  readonly path: string | null;
  readonly events: readonly EventName[];
  readonly timeoutMs: number;
  /** Most attempts of a delivery by its policy; null without retries. */
  readonly attempts: number | null;
  readonly secret: string;
}

/** Which features the server under test has; what it lacks is told in the summary as not covered. */
export interface Features {
  readonly deadlines: boolean;
  readonly retries: boolean;
  readonly egress: boolean;
  readonly roles: boolean;
}

export interface EventRow {
  readonly project: string;
  readonly session: string;
  readonly event: EventName;
  readonly webhookId: string;
  readonly payload: string;
  /** By the database's clock, milliseconds since 1970. */
  readonly emittedMs: number;
  readonly deliveries: number;
}

export interface LogRow {
  readonly webhookId: string;
  readonly deliveryId: string;
  readonly endpointId: string;
  readonly project: string;
  readonly session: string;
  readonly event: EventName;
  readonly attempt: number;
  readonly trigger: string;
  readonly outcome: string;
  readonly errorCode: string | null;
  readonly status: number | null;
  readonly settledAs: string | null;
  /** By the database's clock, milliseconds since 1970 with microseconds behind the point. */
  readonly attemptedMs: number;
  readonly loggedMs: number;
}

/** A delivery that was still owed when the run gave up waiting. */
export interface OwedRow {
  readonly webhookId: string;
  readonly endpointId: string;
  readonly project: string;
  readonly session: string;
  readonly event: EventName;
  readonly state: string;
  readonly attempts: number;
}

export interface SessionRow {
  readonly project: string;
  readonly session: string;
  readonly state: string;
  readonly channel: string | null;
}

export interface Tables {
  readonly sessions: readonly SessionRow[];
  readonly events: readonly EventRow[];
  readonly logs: readonly LogRow[];
  readonly owed: readonly OwedRow[];
}

export interface Settings {
  readonly conversationGraceMs: number;
  readonly callGraceMs: number;
  readonly sessionTimeoutMs: number;
  /** How much longer than an attempt's deadline its claim lasts. */
  readonly leaseMarginMs: number;
}

export interface History {
  readonly settings: Settings;
  readonly features: Features;
  readonly endpoints: readonly Endpoint[];
  readonly tries: readonly Try[];
  readonly requests: readonly SinkRequest[];
  readonly trespasses: readonly Trespass[];
  readonly faults: readonly Fault[];
  readonly moves: readonly Move[];
  readonly readiness: readonly Readiness[];
  readonly ticks: readonly Tick[];
  readonly availability: readonly Availability[];
  readonly clock: readonly ClockSample[];
  readonly tables: Tables;
  /** When the tables were read. */
  readonly endNs: number;
}
