import { createHash } from "node:crypto";
import type { Context } from "hono";
import type { Answer } from "./route.ts";

/** A text that is the same until this process is replaced by another version. */
export interface CacheableText {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly etag: string;
}

export function cacheableText(mediaType: string, text: string): CacheableText {
  const etag = `"${createHash("sha256").update(text).digest("base64url").slice(0, 27)}"`;
  return { bytes: Buffer.from(text), mediaType, etag };
}

/**
 * The text, or 304 for one who has it. `no-cache` means that it is kept and asked for each time: an answer that
 * were taken without asking would describe the version before an upgrade.
 *
 * @param headers further headers of the answer.
 */
export function answerCacheable(
  context: Context,
  { bytes, mediaType, etag }: CacheableText,
  headers: Record<string, string> = {},
): Answer {
  const all = { etag, "cache-control": "public, no-cache", ...headers };
  const given = (context.req.header("if-none-match") ?? "").split(",").map((tag) => tag.trim());
  if (given.some((tag) => tag === "*" || tag.replace(/^W\//, "") === etag)) {
    return { status: 304, headers: all, body: null };
  }
  return { status: 200, headers: { ...all, "content-type": mediaType }, body: bytes };
}
