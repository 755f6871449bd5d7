/** Requests that are sent over and over, as many at a time as there are connections. */
export interface FloodPlan {
  readonly origin: string;
  /** Sent in turn. `{n}` in a path is a number that comes once in a flood. */
  readonly requests: ReadonlyArray<{
    readonly path: string;
    readonly headers: readonly string[];
    readonly body: string;
  }>;
  readonly connections: number;
}

/** What a benchmark tells a flood's process. */
export type ToFlood =
  | { readonly type: "begin"; readonly plan: FloodPlan }
  | { readonly type: "count" }
  | { readonly type: "end" };

/** What has been answered since the beginning. */
export interface Flooded {
  readonly type: "flooded";
  /** Answered 2xx. */
  readonly accepted: number;
  /** Answered anything else. */
  readonly refused: number;
  /** Not answered at all: nobody can know whether they were accepted. */
  readonly unanswered: number;
}
