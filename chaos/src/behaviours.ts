import type { EventName } from "./history.ts";
import { createRandom } from "./random.ts";

/** What the sink does with one request. */
export type Reaction =
  | { readonly kind: "answer"; readonly status: number; readonly afterMs: number }
  /** Closes the connection without an answer. */
  | { readonly kind: "close"; readonly afterMs: number }
  /** Never answers: the connection is open until the other side closes it. */
  | { readonly kind: "never" };

/** How an endpoint of the rig behaves, and what it subscribes to. */
export interface Behaviour {
  readonly name: string;
  /** undefined: none given, which means session.ended alone. */
  readonly events?: readonly EventName[];
  /** Asks for retries, when the server has them. */
  readonly retries: boolean;
  /** Weights of its reactions. */
  readonly reactions: ReadonlyArray<readonly [reaction: ReactionKind, weight: number]>;
}

type ReactionKind = "fast" | "slow" | "error" | "late" | "never" | "close" | "redirect" | "gone";

export const allEvents: readonly EventName[] = [
  "session.ended",
  "call.ended",
  "session.finalized",
  "recording.ready",
];

/** Path that only a followed redirect leads to. */
export const forbiddenPath = "/never";
/** An address of the loopback network that SENDOFF_EGRESS_DENY forbids. */
export const forbiddenAddress = "127.0.0.9";
/** The deadline of every attempt. */
export const timeoutMs = 1_000;

/** Each is the webhook of a project's agent. */
export const behaviours: readonly Behaviour[] = [
  { name: "fast", events: allEvents, retries: false, reactions: [["fast", 1]] },
  { name: "slow", events: allEvents, retries: false, reactions: [["slow", 1]] },
  {
    name: "mixed",
    events: allEvents,
    retries: false,
    reactions: [
      ["fast", 4],
      ["slow", 4],
      ["error", 2],
      ["close", 1],
      ["late", 1],
    ],
  },
  {
    name: "hanging",
    events: allEvents,
    retries: false,
    reactions: [
      ["slow", 3],
      ["late", 1],
      ["never", 1],
    ],
  },
  {
    name: "redirecting",
    events: allEvents,
    retries: false,
    reactions: [
      ["slow", 1],
      ["redirect", 1],
    ],
  },
  {
    name: "finals",
    events: ["session.finalized", "recording.ready"],
    retries: false,
    reactions: [
      ["slow", 3],
      ["close", 1],
    ],
  },
  { name: "by-default", retries: false, reactions: [["fast", 1]] },
  {
    name: "retrying",
    events: allEvents,
    retries: true,
    reactions: [
      ["slow", 4],
      ["error", 2],
      ["close", 1],
      ["late", 1],
    ],
  },
  {
    name: "gone",
    events: allEvents,
    retries: true,
    reactions: [
      ["fast", 3],
      ["gone", 1],
      ["error", 1],
    ],
  },
];

/** What an endpoint does with a certain request: the seed, the webhook-id and the attempt decide it. */
export function reactionTo(seed: string, behaviour: Behaviour, webhookId: string, attempt: string): Reaction {
  const random = createRandom(`${seed}/${webhookId}/${attempt}`);
  switch (random.weighted(behaviour.reactions)) {
    case "fast":
      return { kind: "answer", status: 200, afterMs: 0 };
    case "slow":
      return { kind: "answer", status: 200, afterMs: random.int(50, 300) };
    case "error":
      return { kind: "answer", status: random.pick([500, 503, 404]), afterMs: random.int(0, 50) };
    case "late":
      return { kind: "answer", status: 200, afterMs: timeoutMs + random.int(200, 1_500) };
    case "never":
      return { kind: "never" };
    case "close":
      return { kind: "close", afterMs: random.int(0, 100) };
    case "redirect":
      return { kind: "answer", status: 307, afterMs: random.int(0, 50) };
    case "gone":
      return { kind: "answer", status: 410, afterMs: 0 };
  }
}
