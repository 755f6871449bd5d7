import { overviewSpanMaxMs } from "@sendoff/contract";
import { Refusal } from "../refusal.ts";
import { spans } from "./store.ts";

/** A span of time in buckets of one length. */
export interface Window {
  readonly fromMs: number;
  /** Not in it any more. */
  readonly toMs: number;
  readonly bucketSeconds: number;
}

const hourMs = 3_600_000;
const dayMs = 86_400_000;
/** Most buckets but for hours, which a month has 744 of. */
const bucketsMax = 180;

/**
 * The buckets of a span: the shortest length of which there are not too many and which is kept for so long. The span is made
 * longer to whole buckets. Pure.
 *
 * @throws Refusal invalid_query when it has no length, or is longer than 31 days.
 */
export function windowOf(from: Date | undefined, to: Date | undefined, nowMs: number): Window {
  const askedTo = Math.min(to?.getTime() ?? nowMs, nowMs + dayMs);
  const askedFrom = from?.getTime() ?? askedTo - hourMs;
  const lengthMs = askedTo - askedFrom;
  if (lengthMs <= 0) throw wrong("from", "expected a moment before to, and not in the future");
  if (lengthMs > overviewSpanMaxMs) throw wrong("from", "expected at most 31 days before to");
  const fits = spans.find(
    ({ seconds, keptDays }) =>
      lengthMs <= seconds * bucketsMax * 1_000 && nowMs - askedFrom < keptDays * dayMs - hourMs,
  );
  const { seconds } = fits ?? spans[spans.length - 1] ?? { seconds: 3_600 };
  const bucketMs = seconds * 1_000;
  return {
    fromMs: Math.floor(askedFrom / bucketMs) * bucketMs,
    toMs: Math.ceil(askedTo / bucketMs) * bucketMs,
    bucketSeconds: seconds,
  };
}

const wrong = (path: string, message: string): Refusal =>
  new Refusal("invalid_query", `Something in the query is wrong. ${path}: ${message}.`, {
    details: [{ path, message }],
  });
