import { type EventName, isKnownEvent, type Payload, type Payloads } from "./payloads.ts";
import type { StoredEvent } from "./store.ts";

/** What is known of a session when its handler runs. What has not arrived is null. */
export interface Session {
  readonly sessionId: string;
  /** A call, a text session, or null when no event has told. */
  readonly channel: "call" | "text" | null;
  readonly started: Payloads["session.started"] | null;
  readonly ended: Payloads["session.ended"] | null;
  readonly call: Payloads["call.ended"] | null;
  readonly finalized: Payloads["session.finalized"] | null;
  /** The last that arrived, when there are several. */
  readonly recording: Payloads["recording.ready"] | null;
  readonly recordings: ReadonlyArray<Payloads["recording.ready"]>;
  /** Expected events that have not arrived within their time. */
  readonly missing: readonly EventName[];
  /** Names of the events that have arrived, in the order of their arrival. */
  readonly arrived: readonly string[];
}

/** How long is waited for the events of a session. */
export interface JoinOptions {
  /** The events that the webhook subscribes to. The four of the seed by default. */
  readonly expect: readonly EventName[];
  /** How long the recording may come after `session.finalized`, in ms. 10 min by default. */
  readonly recordingWithinMs: number;
  /** How long `session.ended` and `call.ended` may come after `session.finalized`, in ms. 30 s by default. */
  readonly othersWithinMs: number;
  /** How long `session.finalized` may come after the first event, in ms. 24 h by default. */
  readonly finalizedWithinMs: number;
}

export const joinDefaults: JoinOptions = {
  expect: ["session.ended", "call.ended", "session.finalized", "recording.ready"],
  recordingWithinMs: 600_000,
  othersWithinMs: 30_000,
  finalizedWithinMs: 86_400_000,
};

/** The event that stands for a session that is complete. No sender can send one of this name. */
export const joinedEvent = "@session";

/** Whether a session is complete, has been joined before, or is to be looked at again. */
export type JoinDecision =
  | { readonly kind: "complete" }
  | { readonly kind: "joined" }
  | { readonly kind: "wait"; readonly ms: number };

/** Decides by what has arrived alone; the order does not count. */
export function decideJoin(events: readonly StoredEvent[], options: JoinOptions): JoinDecision {
  if (events.some(({ event }) => event === joinedEvent)) return { kind: "joined" };
  const session = sessionOf(events, options);
  const missing = session.missing;
  if (missing.length === 0) return { kind: "complete" };
  const limits = missing.map((event) => limitOf(event, missing, events, options));
  const ms = Math.max(...limits);
  return ms <= 0 ? { kind: "complete" } : { kind: "wait", ms };
}

/** For how long, in ms from now, an event is still waited for. */
function limitOf(
  event: EventName,
  missing: readonly EventName[],
  events: readonly StoredEvent[],
  options: JoinOptions,
): number {
  const ageOf = (name: string): number =>
    Math.max(0, ...events.filter(isNamed(name)).map((each) => each.ageMs));
  if (event === "session.finalized") {
    return options.finalizedWithinMs - Math.max(0, ...events.map(({ ageMs }) => ageMs));
  }
  // Without session.finalized the others are counted from it, so its own limit alone decides.
  if (missing.includes("session.finalized")) return 0;
  const isFinalizedExpected = options.expect.includes("session.finalized");
  const sinceMs = isFinalizedExpected
    ? ageOf("session.finalized")
    : Math.max(0, ...events.map(({ ageMs }) => ageMs));
  return (event === "recording.ready" ? options.recordingWithinMs : options.othersWithinMs) - sinceMs;
}

const isNamed =
  (name: string) =>
  ({ event }: StoredEvent): boolean =>
    event === name || event.startsWith(`${name} `);

/** Events that only calls have. */
const ofCalls: readonly EventName[] = ["call.ended", "recording.ready"];

/** Puts together what has arrived. */
export function sessionOf(events: readonly StoredEvent[], { expect }: Pick<JoinOptions, "expect">): Session {
  const payloads = events
    .filter(({ event }) => event !== joinedEvent)
    .map(({ body }) => JSON.parse(body) as Payload);
  const last = <Name extends EventName>(name: Name): Payloads[Name] | null =>
    (payloads.findLast(({ event }) => event === name) as Payloads[Name] | undefined) ?? null;
  const [started, ended, call, finalized, recording] = [
    last("session.started"),
    last("session.ended"),
    last("call.ended"),
    last("session.finalized"),
    last("recording.ready"),
  ];
  const channel = channelOf(started, finalized, call !== null || recording !== null);
  return {
    sessionId: String(payloads[0]?.sessionId ?? ""),
    channel,
    started,
    ended,
    call,
    finalized,
    recording,
    recordings: payloads.filter((payload) => payload.event === "recording.ready"),
    missing: expect.filter(
      (name) =>
        !payloads.some(({ event }) => event === name) && !(channel === "text" && ofCalls.includes(name)),
    ),
    arrived: payloads.map(({ event }) => event),
  };
}

function channelOf(
  started: Payloads["session.started"] | null,
  finalized: Payloads["session.finalized"] | null,
  hasEventOfCalls: boolean,
): Session["channel"] {
  if (hasEventOfCalls) return "call";
  if (finalized !== null) return finalized.callStatus === undefined ? "text" : "call";
  return started?.channel ?? null;
}

/** Whether an event belongs to a session that can be joined. */
export const isJoined = (event: string): boolean => isKnownEvent(event);
