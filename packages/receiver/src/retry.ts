/** When a handler that failed is tried again. */
export interface RetryOptions {
  /** How often a handler is tried in all. 10 by default. Then the event is on the list of the dead. */
  readonly attempts: number;
  /** The pause after the first failure, in ms; it doubles with each. 1 s by default. */
  readonly firstMs: number;
  /** The longest pause, in ms. 10 min by default. */
  readonly mostMs: number;
}

export const retryDefaults: RetryOptions = { attempts: 10, firstMs: 1_000, mostMs: 600_000 };

/**
 * The pause before the next attempt, in ms: exponential, and between half and all of it, so that what failed together
 * does not come back together.
 *
 * @param attempt the one that failed, from 1.
 * @param random a number from 0 to 1.
 */
export function pauseMs(options: RetryOptions, attempt: number, random: number): number {
  const whole = Math.min(options.mostMs, options.firstMs * 2 ** Math.min(attempt - 1, 40));
  return Math.round(whole * (0.5 + random / 2));
}
