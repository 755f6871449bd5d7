/**
 * How a port of the sink answers: 200 at once, or not at all until it is told to answer; "count" answers at once and
 * notes nothing but the number, so that it costs next to nothing.
 */
export type Behaviour = "answer" | "hold" | "count";

/** What the benchmark tells the sink's process. */
export type ToSink =
  | { readonly type: "listen"; readonly ports: number }
  | { readonly type: "behave"; readonly ports: readonly number[]; readonly behaviour: Behaviour }
  | { readonly type: "take" }
  | { readonly type: "count" };

/** Deliveries that arrived, since the last time they were asked for: one of each array belongs together. */
export interface Arrivals {
  /** `<sessionId> <event>`. */
  readonly keys: readonly string[];
  /** When the first byte arrived, in monotonic nanoseconds. */
  readonly atNs: readonly number[];
}

/** What the sink's process answers, one message for each that it got. */
export type FromSink =
  | { readonly type: "listening"; readonly ports: readonly number[] }
  | { readonly type: "behaving" }
  | ({ readonly type: "arrived" } & Arrivals)
  | { readonly type: "counted"; readonly requests: number };
