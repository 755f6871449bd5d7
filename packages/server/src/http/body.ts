import type { IncomingMessage } from "node:http";
import { type BrokenBound, boundJson, compactJson } from "../json-text.ts";
import { Refusal } from "../refusal.ts";
import { headerOf } from "./headers.ts";

/** Most bytes of any body. Behaviour, section 7; hostile cases, parameters. */
export const bodyBytesMax = 1024 * 1024;
/** Most bytes of a body whose route does not say otherwise (route.ts, `bodyBytesMax`). */
export const smallBodyBytesMax = 16 * 1024;
const bounds = { depthMax: 32, keysMax: 10_000, valuesMax: 50_000, nameMax: 1_024 };
/**
 * Most pieces of a body. Each costs as much as some hundred bytes do, and a sender may put every byte into a piece of its
 * own (transfer-encoding: chunked).
 */
const piecesMax = 16_384;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// The rest of the body is still on its way: this connection cannot carry another request.
const closing = { headers: { connection: "close" } };

/**
 * Reads a body up to a limit. What is beyond the limit is not read into memory.
 *
 * @param take is told of each piece, and says whether there is memory for it.
 * @throws Refusal body_too_large while the body still comes in, or at once when its length says so; what `take` answers.
 */
export async function readBytes(
  request: IncomingMessage,
  bytesMax: number,
  take: (bytes: number) => Refusal | null = () => null,
): Promise<Buffer> {
  const tooLarge = (): Refusal =>
    new Refusal(
      "body_too_large",
      `The body has more than ${bytesMax} bytes, the most that this route takes. Send it in smaller parts.`,
      closing,
    );
  if (Number(headerOf(request, "content-length") ?? 0) > bytesMax) throw tooLarge();
  const chunks: Buffer[] = [];
  let bytes = 0;
  let refusal: Refusal | null = null;
  const whole = await readWhile(request, (chunk) => {
    bytes += chunk.length;
    if (bytes > bytesMax) refusal = tooLarge();
    else if (chunks.length === piecesMax) refusal = tooManyPieces();
    else refusal = take(chunk.length);
    if (refusal === null) chunks.push(chunk);
    return refusal === null;
  });
  if (refusal !== null) throw refusal;
  // The sender went away or was too slow. The answer reaches nobody, and it is no failure of ours to log.
  if (!whole) {
    throw new Refusal("invalid_json", `The body broke off after ${bytes} bytes; send it again as a whole.`);
  }
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
}

const tooManyPieces = (): Refusal =>
  new Refusal(
    "body_too_large",
    `The body comes in more than ${piecesMax} pieces. Send it with a content-length, or in larger chunks.`,
    closing,
  );

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
 * Reads the bytes of a JSON body. See {@link readBytes}.
 *
 * @throws Refusal when it is not sent as JSON, or is too large.
 */
export function readJsonBytes(
  request: IncomingMessage,
  bytesMax: number,
  take?: (bytes: number) => Refusal | null,
): Promise<Buffer> {
  const type = headerOf(request, "content-type") ?? "";
  const encoding = headerOf(request, "content-encoding");
  if (encoding !== undefined && encoding !== "identity") {
    const given = encoding.slice(0, 100);
    throw new Refusal("media_type_not_json", `The body is compressed (${given}); send it as it is.`);
  }
  if (!/^application\/(?:[\w.+-]+\+)?json(?:\s*;.*)?$/i.test(type.slice(0, typeLengthMax))) {
    const given = type === "" ? "no content-type" : `content-type ${type.slice(0, 100)}`;
    throw new Refusal("media_type_not_json", `Given ${given}; expected application/json.`);
  }
  return readBytes(request, bytesMax, take);
}

/** How much of a content-type is looked at. */
const typeLengthMax = 200;

/** What a body does that breaks a bound. */
const broken: Readonly<Record<BrokenBound, string>> = {
  depthMax: `nests more than ${bounds.depthMax} levels`,
  keysMax: `has more than ${bounds.keysMax} keys`,
  valuesMax: `has more than ${bounds.valuesMax} values`,
  nameMax: `has a key of more than ${bounds.nameMax} characters`,
};

/**
 * Parses a JSON body.
 *
 * @returns the value for validation, and the text without white space, from which variables are taken as they came.
 * @throws Refusal when it is not UTF-8, not JSON, or breaks a bound.
 */
export function parseJson(bytes: Buffer): { value: unknown; text: string } {
  const raw = decode(bytes);
  const bound = boundJson(raw, bounds);
  if (bound !== null) throw new Refusal("too_deep", `The body ${broken[bound]}. Send less in one request.`);
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
