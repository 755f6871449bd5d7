/** What a benchmark tells the process of a receiver. */
export type ToReceiver =
  | { readonly type: "begin"; readonly databaseUrl: string; readonly secret: string }
  | { readonly type: "count" };

/** What it tells back. */
export interface FromReceiver {
  /** Where it listens. */
  readonly origin: string;
  /** Handlers that have run since the beginning. */
  readonly handled: number;
  /** Handlers that failed, and calls of the store that did. */
  readonly failed: number;
}
