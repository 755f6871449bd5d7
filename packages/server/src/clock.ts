/** Moments and durations for code that must be driven by a test. Due times come from the database, never from here. */
export interface Clock {
  /** Milliseconds that only ever grow; for durations and deadlines inside this process. */
  monotonicMs(): number;
  /** The wall clock; for what is shown or sent, such as `webhook-timestamp`, and which secrets still sign. */
  wallMs(): number;
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
};
