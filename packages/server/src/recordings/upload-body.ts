import type { IncomingMessage } from "node:http";
import { Refusal } from "../refusal.ts";
import { Pace } from "./pace.ts";
import type { Place } from "./places.ts";
import { bytesText, type UploadLimits } from "./upload-limits.ts";

export interface BodyParts {
  readonly limits: Pick<UploadLimits, "rate" | "timeMaxMs">;
  /** Over so long of waiting for it a body has to come at the least rate. */
  readonly windowMs: number;
  readonly stop: AbortSignal;
  readonly place: Place;
}

/** The rest of the body is still on its way: the connection cannot carry another request. */
const headers = { connection: "close" };

/**
 * The bytes of an upload as they come.
 *
 * @throws Refusal upload_stalled when they come too slowly, or for too long; upload_broken when they end before all of
 * them have come; draining.
 */
export async function* readBody(request: IncomingMessage, parts: BodyParts): AsyncGenerator<Buffer> {
  const { limits, windowMs, place } = parts;
  // A destroyed request could not be answered.
  const chunks = request.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  const pace = new Pace(windowMs, limits.rate.least);
  const endMs = performance.now() + limits.timeMaxMs;
  let bytes = 0;
  for (;;) {
    const next = chunks.next();
    // When it is not waited for any more, its failing is nobody's.
    next.catch(() => {});
    let come: IteratorResult<Buffer> | null = null;
    while (come === null) {
      const fromMs = performance.now();
      come = await within(next, Math.min(pace.leftMs, endMs - fromMs), parts.stop, bytes);
      pace.waited(performance.now() - fromMs);
      if (performance.now() >= endMs) throw tooLong(limits.timeMaxMs, bytes);
      if (come !== null && come.done !== true) pace.came(come.value.length);
      if (come?.done !== true && pace.over()) throw tooSlow(windowMs, limits.rate.least, bytes);
    }
    if (come.done === true) return;
    bytes += come.value.length;
    await place.pace(come.value.length);
    yield come.value;
  }
}

/** @returns null: it did not come within the time. */
async function within(
  next: Promise<IteratorResult<Buffer>>,
  ms: number,
  stop: AbortSignal,
  bytes: number,
): Promise<IteratorResult<Buffer> | null> {
  let timer: NodeJS.Timeout | undefined;
  let onStop: (() => void) | undefined;
  const ended = new Promise<null>((resolve, reject) => {
    timer = setTimeout(() => resolve(null), Math.max(0, ms) + 1);
    onStop = () =>
      reject(new Refusal("draining", "This process is shutting down; upload the audio again.", { headers }));
    if (stop.aborted) onStop();
    else stop.addEventListener("abort", onStop, { once: true });
  });
  try {
    return await Promise.race([next, ended]);
  } catch (error) {
    if (error instanceof Refusal) throw error;
    // The sender went away: the answer reaches nobody, and it is no failure of ours to log.
    throw new Refusal("upload_broken", `The upload broke off after ${bytes} bytes; send the audio again.`, {
      headers,
    });
  } finally {
    clearTimeout(timer);
    if (onStop !== undefined) stop.removeEventListener("abort", onStop);
  }
}

const tooSlow = (windowMs: number, least: number, bytes: number): Refusal =>
  new Refusal(
    "upload_stalled",
    `After ${bytes} bytes the upload came too slowly: expected ${bytesText(least)} a second (SENDOFF_UPLOAD_RATE) over each ${windowMs / 1_000} s; nothing was kept. Send the audio again, without pauses.`,
    { headers },
  );

const tooLong = (timeMaxMs: number, bytes: number): Refusal =>
  new Refusal(
    "upload_stalled",
    `The upload was not over after ${Math.round(timeMaxMs / 100) / 10} s (SENDOFF_UPLOAD_TIME_MAX) and ${bytes} bytes; nothing was kept. Send the audio again, faster.`,
    { headers },
  );
