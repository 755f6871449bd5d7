import type { IncomingMessage } from "node:http";
import { boundJson, compactJson } from "../json-text.ts";
import { Refusal } from "../refusal.ts";
import { headerOf } from "./headers.ts";

/** Bounds of a request's body. Behaviour, section 7; hostile cases, parameters. */
export const bodyBytesMax = 1024 * 1024;
const bounds = { depthMax: 32, keysMax: 10_000 };

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads a body up to a limit. What is beyond the limit is not read into memory.
 *
 * @throws Refusal body_too_large while the body still comes in, or at once when its length says so.
 */
export async function readBytes(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const tooLarge = (): Refusal =>
    new Refusal("body_too_large", `The body has more than ${bytesMax} bytes. Send it in smaller parts.`, {
      // The rest of the body is still on its way: this connection cannot carry another request.
      headers: { connection: "close" },
    });
  if (Number(headerOf(request, "content-length") ?? 0) > bytesMax) throw tooLarge();
  const chunks: Buffer[] = [];
  let bytes = 0;
  const whole = await readWhile(request, (chunk) => {
    bytes += chunk.length;
    if (bytes > bytesMax) return false;
    chunks.push(chunk);
    return true;
  });
  if (bytes > bytesMax) throw tooLarge();
  // The sender went away or was too slow. The answer reaches nobody, and it is no failure of ours to log.
  if (!whole) {
    throw new Refusal("invalid_json", `The body broke off after ${bytes} bytes; send it again as a whole.`);
  }
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
}

/**
 * Reads a request's body by its events: an async iterator over it takes as long as all else that is done with a request
 * before its handler.
 *
 * @param take gets each chunk, and says whether to go on.
 * @returns whether it came to its end.
 */
function readWhile(request: IncomingMessage, take: (chunk: Buffer) => boolean): Promise<boolean> {
  return new Promise((resolve) => {
    if (request.destroyed && !request.readableEnded) return resolve(false);
    const over = (whole: boolean): void => {
      request.off("data", onData).off("end", onEnd).off("error", onBreak).off("close", onBreak);
      resolve(whole);
    };
    const onEnd = (): void => over(true);
    const onBreak = (): void => over(false);
    const onData = (chunk: Buffer): void => {
      if (take(chunk)) return;
      request.pause();
      // What still comes is dealt with when the request has been answered; it must not end the process.
      request.on("error", () => {});
      over(false);
    };
    request.on("data", onData).on("end", onEnd).on("error", onBreak).on("close", onBreak);
  });
}

/**
 * Reads and parses a JSON body.
 *
 * @returns the value for validation, and the text without white space, from which variables are taken as they came.
 * @throws Refusal when it is not sent as JSON, too large, not UTF-8, not JSON, or nested too deep.
 */
export async function readJson(request: IncomingMessage): Promise<{ value: unknown; text: string }> {
  const type = headerOf(request, "content-type") ?? "";
  const encoding = headerOf(request, "content-encoding");
  if (encoding !== undefined && encoding !== "identity") {
    throw new Refusal("media_type_not_json", `The body is compressed (${encoding}); send it as it is.`);
  }
  if (!/^application\/(?:[\w.+-]+\+)?json(?:\s*;.*)?$/i.test(type)) {
    const given = type === "" ? "no content-type" : `content-type ${type}`;
    throw new Refusal("media_type_not_json", `Given ${given}; expected application/json.`);
  }
  return parseJson(await readBytes(request, bodyBytesMax));
}

/** See {@link readJson}. */
function parseJson(bytes: Buffer): { value: unknown; text: string } {
  const raw = decode(bytes);
  const broken = boundJson(raw, bounds);
  if (broken !== null) {
    throw new Refusal(
      "too_deep",
      broken === "too_deep"
        ? `The body nests more than ${bounds.depthMax} levels.`
        : `The body has more than ${bounds.keysMax} keys.`,
    );
  }
  try {
    return { value: JSON.parse(raw), text: compactJson(raw) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Refusal("invalid_json", `The body is not JSON: ${reason}.`);
  }
}

function decode(bytes: Buffer): string {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw new Refusal("invalid_json", "The body is not UTF-8 text.");
  }
  if (text.startsWith("\ufeff"))
    throw new Refusal("invalid_json", "The body begins with a byte order mark; leave it out.");
  return text;
}
