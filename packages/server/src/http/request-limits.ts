import type { IncomingMessage } from "node:http";
import { BurstyRateLimiter, RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import type { Metrics } from "../metrics.ts";
import { Refusal } from "../refusal.ts";
import { createAddresses } from "./address.ts";

/** How many requests are taken. Each process counts by itself: two processes take twice as many. */
export interface RateLimits {
  /** SENDOFF_RATE_LIMIT: requests a second for each key, and how many more in any 10 s. */
  readonly perSecond: number;
  readonly burst: number;
  /** SENDOFF_WRONG_KEY_LIMIT: requests with a wrong key in a minute from one address. */
  readonly wrongKeysPerMinute: number;
  /** SENDOFF_TRUSTED_PROXIES: addresses and ranges whose X-Forwarded-For is believed. */
  readonly trustedProxies: readonly string[];
}

/** How many requests a key and wrong keys an address may send. */
export interface RequestLimits {
  /**
   * Counts a request of a key, or what a request brings beside itself.
   *
   * @param count how many; of more than the limit of a second that many count, or they could never be sent. Default: 1.
   * @throws Refusal rate_limited when the key has had all of its.
   */
  takeRequest(keyId: string, count?: number): Promise<void>;
  /**
   * Counts a request whose key was wrong. Right ones are not counted, so nobody locks out who has a right key.
   *
   * @throws Refusal rate_limited when too many wrong ones have come from the address.
   */
  takeWrongKey(request: IncomingMessage): Promise<void>;
  /** The network that a request comes from. */
  addressOf(request: IncomingMessage): string;
}

const burstSeconds = 10;
const wrongKeySeconds = 60;

export function createRequestLimits(limits: RateLimits, metrics: Metrics): RequestLimits {
  const requests = new BurstyRateLimiter(
    new RateLimiterMemory({ keyPrefix: "second", points: limits.perSecond, duration: 1 }),
    new RateLimiterMemory({ keyPrefix: "burst", points: limits.burst, duration: burstSeconds }),
  );
  const tries = new RateLimiterMemory({ points: limits.wrongKeysPerMinute, duration: wrongKeySeconds });
  const addresses = createAddresses(limits.trustedProxies);
  return {
    async takeRequest(keyId, count = 1) {
      // What a request brings counts beside the request itself.
      const points = count === 1 ? 1 : Math.min(count, limits.perSecond - 1);
      await requests.consume(keyId, points).catch((reason: unknown) => {
        const seconds = waitOf(reason, burstSeconds);
        metrics.limited.inc({ limit: "key" });
        throw refusal(
          `This key has sent more than ${limits.perSecond} requests or reports in a second and ${limits.burst} more within ${burstSeconds} s. Send fewer; try again in ${seconds} s.`,
          seconds,
        );
      });
    },
    addressOf: addresses.of,
    async takeWrongKey(request) {
      await tries.consume(addresses.of(request)).catch((reason: unknown) => {
        const seconds = waitOf(reason, wrongKeySeconds);
        metrics.limited.inc({ limit: "address" });
        throw refusal(
          `More than ${limits.wrongKeysPerMinute} requests with a wrong key have come from this address within a minute. Check the key; try again in ${seconds} s.`,
          seconds,
        );
      });
    },
  };
}

const refusal = (message: string, seconds: number): Refusal =>
  new Refusal("rate_limited", message, { headers: { "retry-after": String(seconds) } });

/** For how long to wait, in whole seconds; a clock that jumps cannot make it longer than the window. */
function waitOf(reason: unknown, windowSeconds: number): number {
  if (!(reason instanceof RateLimiterRes)) throw reason;
  return Math.min(windowSeconds, Math.max(1, Math.ceil(reason.msBeforeNext / 1_000)));
}
