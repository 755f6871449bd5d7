import { Refused } from "./refused.ts";
import type { HeaderReader } from "./verify.ts";

/** A request as an adapter hands it over. The core reads the body itself, so that its limits hold everywhere. */
export interface Incoming {
  readonly method: string;
  readonly header: HeaderReader;
  /** The bytes as they come. An adapter whose platform has read them already yields them in one piece. */
  readonly body: AsyncIterable<Uint8Array> | null;
}

/** What goes back. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What a request may cost before it is believed. */
export interface Limits {
  /** Largest body, in bytes. 1 MiB by default. */
  readonly bodyBytesMax: number;
  /** How long the body may take to arrive, in ms. 10 s by default, which is as long as Sendoff waits for an answer. */
  readonly bodyTimeMs: number;
}

export const limitDefaults: Limits = { bodyBytesMax: 1_048_576, bodyTimeMs: 10_000 };

/** Refuses what can be refused by method and headers alone. @throws Refused */
export function checkHead({ method, header }: Incoming, limits: Limits): void {
  if (method !== "POST") throw new Refused("method_not_allowed", `expected POST, got ${method.slice(0, 20)}`);
  const type = header("content-type") ?? "";
  if (!/^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(type)) {
    throw new Refused("content_type_not_json", "expected content-type: application/json");
  }
  // A small body could become a huge one, and a signature is over the bytes as they were sent.
  const encoding = header("content-encoding") ?? "identity";
  if (encoding.toLowerCase() !== "identity") {
    throw new Refused("content_encoding_not_supported", "expected a body without content-encoding");
  }
  const length = Number(header("content-length") ?? 0);
  if (length > limits.bodyBytesMax) throw tooLarge(limits);
}

/** Reads the body within its limits. @throws Refused, and then reads no further */
export async function readBody({ body }: Incoming, limits: Limits): Promise<Uint8Array> {
  if (body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let length = 0;
  const iterator = body[Symbol.asyncIterator]();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new Refused("body_too_slow", `the body took longer than ${limits.bodyTimeMs} ms`)),
      limits.bodyTimeMs,
    );
  });
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), late]);
      if (next.done) break;
      length += next.value.byteLength;
      if (length > limits.bodyBytesMax) throw tooLarge(limits);
      chunks.push(next.value);
    }
  } catch (error) {
    // Not awaited: an iterator that hangs in next() would also hang here.
    iterator.return?.()?.catch(() => {});
    if (error instanceof Refused) throw error;
    throw new Refused("body_incomplete", "the body broke off", { cause: error });
  } finally {
    clearTimeout(timer);
  }
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
}

const tooLarge = ({ bodyBytesMax }: Limits): Refused =>
  new Refused("body_too_large", `expected a body of at most ${bodyBytesMax} bytes`);

/** A request of the web platform. */
export const incomingOf = (request: Request): Incoming => ({
  method: request.method,
  header: (name) => request.headers.get(name),
  body: request.body,
});

/** Bytes that somebody else has read already, such as a platform that hands over whole events. */
export async function* inOnePiece(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
