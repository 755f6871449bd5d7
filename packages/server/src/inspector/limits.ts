import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import { Refusal } from "../refusal.ts";

/**
 * What one inspector takes in each process within 10 s. What is posted is stored, and anybody may post who knows the
 * address: a webhook that points there must neither fill the disk nor the processor of the others.
 */
export interface PostLimits {
  /**
   * Counts a post before its body is read.
   *
   * @param bytes of the body, or the most that it may have.
   * @throws Refusal rate_limited when the inspector has had all that it takes.
   */
  take(inspectorId: string, bytes: number): Promise<void>;
}

const windowSeconds = 10;
const postsMax = 20_000;
export const postedBytesMax = 32 * 1024 * 1024;
const bytesOfPoint = 1_024;

export function createPostLimits(): PostLimits {
  const posts = new RateLimiterMemory({ points: postsMax, duration: windowSeconds });
  const bytes = new RateLimiterMemory({ points: postedBytesMax / bytesOfPoint, duration: windowSeconds });
  return {
    async take(inspectorId, bodyBytes) {
      try {
        await posts.consume(inspectorId);
        await bytes.consume(inspectorId, Math.ceil(bodyBytes / bytesOfPoint));
      } catch (reason) {
        if (!(reason instanceof RateLimiterRes)) throw reason;
        const seconds = Math.min(windowSeconds, Math.max(1, Math.ceil(reason.msBeforeNext / 1_000)));
        throw new Refusal(
          "rate_limited",
          `This inspector takes ${postsMax} posts and ${postedBytesMax / 1024 / 1024} MiB within ${windowSeconds} s. Point a webhook with more at a receiver of yours; try again in ${seconds} s.`,
          { headers: { "retry-after": String(seconds) } },
        );
      }
    },
  };
}
