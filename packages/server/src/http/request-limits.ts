import type { IncomingMessage } from "node:http";
import ipaddr from "ipaddr.js";
import proxyAddr from "proxy-addr";
import { BurstyRateLimiter, RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import type { Metrics } from "../metrics.ts";
import { Refusal } from "../refusal.ts";

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

/** What stands between a request and the database. */
export interface RequestLimits {
  /** Counts a request of a key. @throws Refusal rate_limited when the key has had all of its. */
  takeRequest(keyId: string): Promise<void>;
  /**
   * Counts a try of a key that may be wrong, before it is looked up, so that many at once are counted too.
   *
   * @returns takes the try back: the key was right.
   * @throws Refusal rate_limited when too many wrong ones have come from the address; then nothing is looked up.
   */
  takeTry(request: IncomingMessage): Promise<() => Promise<unknown>>;
}

const burstSeconds = 10;
const wrongKeySeconds = 60;

export function createRequestLimits(limits: RateLimits, metrics: Metrics): RequestLimits {
  const requests = new BurstyRateLimiter(
    new RateLimiterMemory({ keyPrefix: "second", points: limits.perSecond, duration: 1 }),
    new RateLimiterMemory({ keyPrefix: "burst", points: limits.burst, duration: burstSeconds }),
  );
  const tries = new RateLimiterMemory({ points: limits.wrongKeysPerMinute, duration: wrongKeySeconds });
  const trust = proxyAddr.compile([...limits.trustedProxies]);
  return {
    async takeRequest(keyId) {
      await requests.consume(keyId).catch((reason: unknown) => {
        const seconds = waitOf(reason, burstSeconds);
        metrics.limited.inc({ limit: "key" });
        throw refusal(
          `This key has sent more than ${limits.perSecond} requests in a second and ${limits.burst} more within ${burstSeconds} s. Send fewer, or many reports in one request (POST .../reports); try again in ${seconds} s.`,
          seconds,
        );
      });
    },
    async takeTry(request) {
      const address = networkOf(proxyAddr(request, trust));
      await tries.consume(address).catch((reason: unknown) => {
        const seconds = waitOf(reason, wrongKeySeconds);
        metrics.limited.inc({ limit: "address" });
        throw refusal(
          `More than ${limits.wrongKeysPerMinute} requests with a wrong key have come from this address within a minute. Check the key; try again in ${seconds} s.`,
          seconds,
        );
      });
      return () => tries.reward(address);
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

/** Of IPv6 the first 64 bits: whoever has one such address has all of that network. */
function networkOf(address: string): string {
  if (!ipaddr.isValid(address)) return "none";
  const parsed = ipaddr.process(address);
  const bytes = parsed.toByteArray();
  return (bytes.length === 4 ? bytes : bytes.slice(0, 8)).join(".");
}

/** Whether a list of addresses and ranges can be used as {@link RateLimits.trustedProxies}. */
export function isProxyList(list: readonly string[]): boolean {
  try {
    proxyAddr.compile([...list]);
    return true;
  } catch {
    return false;
  }
}
