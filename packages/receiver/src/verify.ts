import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { Refused } from "./refused.ts";

/** How a request shows that it comes from whom it should. With both, both must hold. */
export interface VerifyOptions {
  /** The signing secret(s) of Standard Webhooks, `whsec_...`. With several, one must fit: that is how one changes over. */
  readonly secrets?: string | readonly string[];
  /** Headers that every request must bear, and their values. With several values, one must fit. For senders that sign nothing. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** How far `webhook-timestamp` may be from this machine's clock, in seconds. 300 by default. */
  readonly toleranceSeconds?: number;
}

/** Reads a header by its name in lower case; null when there is none. */
export type HeaderReader = (name: string) => string | null;

/** Checks a request's headers against the bytes of its body. @throws Refused */
export type Verifier = (header: HeaderReader, body: Uint8Array) => void;

const secretPrefix = "whsec_";
/** Source: Standard Webhooks, 24 to 64 bytes. */
const keyBytes = { min: 24, max: 64 };
const toleranceDefaultSeconds = 300;
/** More signatures than a rotation could ever need cost only time. Source: hostile cases, V2. */
const signaturesMax = 16;
const headerCharactersMax = 8_192;
/** An id with a full stop could shift the border between id and timestamp. Source: hostile cases, V7. */
const idPattern = /^[!-\-/-~]{1,256}$/;
const timestampPattern = /^\d{1,12}$/;
/** A SHA-256 in base64, as it stands behind `v1,`. */
const signatureCharacters = 44;

/**
 * Makes the check of a receiver.
 *
 * @param nowMs the wall clock, in milliseconds since 1970.
 * @throws TypeError when there is neither a secret nor a header, or a secret is no secret: at the start, not at the first request.
 */
export function createVerifier(options: VerifyOptions, nowMs: () => number = Date.now): Verifier {
  const keys = listOf(options.secrets).map(keyOf);
  const headers = Object.entries(options.headers ?? {}).map(([name, values]) => expectedHeader(name, values));
  if (keys.length === 0 && headers.length === 0) {
    throw new TypeError(
      "verify has neither secrets nor headers, so anybody could send events. Give the signing secret (whsec_...) or the headers that were configured for this endpoint. To take requests from anybody, write unverified: true instead of verify.",
    );
  }
  const tolerance = options.toleranceSeconds ?? toleranceDefaultSeconds;
  if (!(tolerance > 0)) throw new TypeError(`toleranceSeconds is ${tolerance}; expected a number above 0.`);
  return (header, body) => {
    for (const check of headers) check(header);
    if (keys.length > 0) checkSignature(keys, header, body, nowMs() / 1_000, tolerance);
  };
}

/**
 * Checks one request by itself, for code that has no receiver.
 *
 * @param body the bytes as they came. A body that was parsed and written again is another body.
 * @throws Refused when the request is not to be believed; returns nothing, so that no result can be forgotten.
 */
export function verify(
  options: VerifyOptions,
  headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>,
  body: Uint8Array | string,
): void {
  const read: HeaderReader =
    headers instanceof Headers ? (name) => headers.get(name) : (name) => headerOf(headers, name);
  createVerifier(options)(read, typeof body === "string" ? new TextEncoder().encode(body) : body);
}

/** Reads a header of a plain object, as Node.js has them: names in lower case, or as somebody wrote them. */
export function headerOf(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  name: string,
): string | null {
  const key = Object.hasOwn(headers, name)
    ? name
    : Object.keys(headers).find((given) => given.toLowerCase() === name);
  const value = key === undefined ? undefined : headers[key];
  if (value === undefined) return null;
  return typeof value === "string" ? value : value.join(", ");
}

function checkSignature(
  keys: readonly Buffer[],
  header: HeaderReader,
  body: Uint8Array,
  nowSeconds: number,
  toleranceSeconds: number,
): void {
  const id = header("webhook-id");
  const timestamp = header("webhook-timestamp");
  const signatures = header("webhook-signature");
  if (id === null || timestamp === null || signatures === null) {
    throw new Refused(
      "headers_missing",
      "expected the headers webhook-id, webhook-timestamp and webhook-signature",
    );
  }
  if (!idPattern.test(id) || !timestampPattern.test(timestamp) || signatures.length > headerCharactersMax) {
    throw new Refused(
      "signature_wrong",
      "the headers of the signature are not as Standard Webhooks has them",
    );
  }
  const ageSeconds = nowSeconds - Number(timestamp);
  const expected = keys.map((key) =>
    Buffer.from(
      createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64"),
      "latin1",
    ),
  );
  const given = signatures
    .split(" ", signaturesMax)
    .filter((signature) => signature.startsWith("v1,"))
    .map((signature) => Buffer.from(signature.slice(3), "latin1"))
    .filter((signature) => signature.length === signatureCharacters);
  // Every pair is compared, so that time does not tell which one fits.
  let fits = false;
  for (const signature of given) {
    for (const own of expected) fits = timingSafeEqual(signature, own) || fits;
  }
  if (!fits) throw new Refused("signature_wrong", "no signature in webhook-signature fits the body");
  // After the signature: who cannot sign learns nothing of this machine's clock.
  if (ageSeconds > toleranceSeconds) {
    throw new Refused("timestamp_too_old", `webhook-timestamp is more than ${toleranceSeconds} s old`);
  }
  if (ageSeconds < -toleranceSeconds) {
    throw new Refused(
      "timestamp_in_future",
      `webhook-timestamp is more than ${toleranceSeconds} s in the future`,
    );
  }
}

const listOf = (value: string | readonly string[] | undefined): readonly string[] =>
  value === undefined ? [] : typeof value === "string" ? [value] : value;

function keyOf(secret: string): Buffer {
  const encoded = secret.startsWith(secretPrefix) ? secret.slice(secretPrefix.length) : secret;
  const key = Buffer.from(encoded, "base64");
  const isBase64 = key.toString("base64").replace(/=+$/, "") === encoded.replace(/=+$/, "");
  if (!isBase64 || key.length < keyBytes.min || key.length > keyBytes.max) {
    throw new TypeError(
      `a signing secret has ${secret.length} characters that are not whsec_ and ${keyBytes.min} to ${keyBytes.max} bytes in base64. Copy it whole from where it was shown.`,
    );
  }
  return key;
}

const digestOf = (text: string): Buffer => createHash("sha256").update(text).digest();

/** The values are compared by their digests: these have one length, whatever was sent. */
function expectedHeader(name: string, values: string | readonly string[]): (header: HeaderReader) => void {
  const lower = name.toLowerCase();
  const expected = listOf(values);
  if (expected.length === 0 || expected.some((value) => value === "")) {
    throw new TypeError(`verify.headers expects "${name}" to have an empty value; anybody could send that.`);
  }
  const digests = expected.map(digestOf);
  return (header) => {
    const given = header(lower);
    const digest = digestOf(given ?? "");
    let fits = false;
    for (const own of digests) fits = timingSafeEqual(digest, own) || fits;
    if (!fits || given === null) {
      throw new Refused("header_wrong", `the header ${lower} is missing or has another value than expected`);
    }
  };
}
