import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { DownloadFailed, Interrupted } from "./failure.ts";
import { get, type RequestOptions } from "./request.ts";

export interface DownloadOptions extends RequestOptions {
  readonly bytesMax: number;
  /** After this no request is begun, in ms since 1970. */
  readonly beginUntilMs: number;
  readonly nowMs: () => number;
}

/** A download whose first answer is there. */
export interface Download {
  readonly contentType: string;
  /** In bytes; null when the host did not say. */
  readonly length: number | null;
  /** The audio, taken up again where it breaks off. Throws DownloadFailed when that is over. */
  readonly audio: AsyncGenerator<Uint8Array, void>;
  /** SHA-256 in hex and length in bytes, when all has been read. @throws Error when it has not, DownloadFailed */
  digest(): { readonly sha256: string; readonly bytes: number };
}

/** Tries without a byte of progress before it is given up. */
const vainMax = 8;
const pauseFirstMs = 100;
const pauseMostMs = 3_000;

/** Begins a download. @throws DownloadFailed */
export async function begin(link: string, options: DownloadOptions): Promise<Download> {
  const hash = createHash("sha256");
  let offset = 0;
  let vain = 0;
  let last = "";
  let first: Head | null = null;

  /** Asks until there is an answer to read from. */
  const open = async (isFirst: boolean): Promise<IncomingMessage> => {
    for (;;) {
      // The first request is always made: this machine's clock may be wrong, and only the host knows.
      if (!(isFirst && vain === 0) && options.nowMs() >= options.beginUntilMs) {
        throw new DownloadFailed(
          "too_late",
          `the link's life was over before it worked; ${last || "no reason known"}`,
        );
      }
      try {
        const response = await get(link, offset, first?.etag ?? null, options);
        response.on("error", () => {});
        try {
          const head = checked(response, offset, first);
          if (head.length !== null && head.length > options.bytesMax) {
            throw new DownloadFailed(
              "too_large",
              `it has ${head.length} bytes, expected at most ${options.bytesMax}`,
            );
          }
          first ??= head;
          return response;
        } catch (error) {
          response.destroy();
          throw error;
        }
      } catch (error) {
        await interrupted(error);
      }
    }
  };
  const interrupted = async (error: unknown): Promise<void> => {
    if (options.signal.aborted) throw options.signal.reason;
    if (!(error instanceof Interrupted)) throw error;
    last = `last: ${error.message}`;
    vain += 1;
    if (vain >= vainMax) throw new DownloadFailed("unreachable", `${vainMax} tries in vain; ${last}`);
    const pause = Math.min(pauseMostMs, pauseFirstMs * 2 ** (vain - 1)) * (0.5 + Math.random() / 2);
    const leftMs = options.beginUntilMs - options.nowMs();
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, Math.min(pause, leftMs))));
  };

  let response = await open(true);
  const head = first as unknown as Head;
  let isWhole = false;
  async function* read(): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      // A host that does not know ranges sends it all again: what was read before is passed over.
      let skip = response.statusCode === 206 ? 0 : offset;
      try {
        for await (const chunk of response as AsyncIterable<Buffer>) {
          const fresh = chunk.subarray(Math.min(skip, chunk.length));
          skip -= chunk.length - fresh.length;
          if (fresh.length === 0) continue;
          if (offset === 0) checkBeginning(fresh, head.contentType);
          offset += fresh.length;
          vain = 0;
          if (offset > options.bytesMax) {
            throw new DownloadFailed("too_large", `it is longer than ${options.bytesMax} bytes`);
          }
          hash.update(fresh);
          yield fresh;
        }
        if (response.complete && (head.length === null || offset === head.length)) {
          isWhole = true;
          return;
        }
        throw new Interrupted(`broken off after ${offset} of ${head.length ?? "unknown"} bytes`);
      } catch (error) {
        if (error instanceof DownloadFailed) throw error;
        await interrupted(error instanceof Interrupted ? error : new Interrupted((error as Error).message));
      } finally {
        response.destroy();
      }
      response = await open(false);
    }
  }
  return {
    contentType: head.contentType,
    length: head.length,
    audio: read(),
    digest() {
      if (!isWhole) throw new Error("the target did not read the recording to its end");
      const sha256 = hash.copy().digest();
      if (head.sha256 !== null && head.sha256 !== sha256.toString("base64")) {
        throw new DownloadFailed("wrong_checksum", "its SHA-256 is not the one that its host has told");
      }
      return { sha256: sha256.toString("hex"), bytes: offset };
    },
  };
}

interface Head {
  readonly contentType: string;
  readonly length: number | null;
  readonly etag: string | null;
  /** In base64, when the host tells it. */
  readonly sha256: string | null;
}

/** Looks whether an answer is the recording, or the rest of it. */
function checked(response: IncomingMessage, offset: number, first: Head | null): Head {
  const { statusCode = 0, headers } = response;
  if ([401, 403, 410].includes(statusCode)) {
    throw new DownloadFailed(
      "link_expired",
      `the host answered ${statusCode}: the link has expired or is not valid`,
    );
  }
  if (statusCode === 416 && offset > 0) {
    throw new DownloadFailed(
      "wrong_length",
      `the host has no more than ${offset} bytes, though it said ${first?.length}`,
    );
  }
  if (statusCode >= 500 || statusCode === 429 || statusCode === 408) {
    throw new Interrupted(`the host answered ${statusCode}`);
  }
  if (statusCode !== 200 && !(statusCode === 206 && offset > 0)) {
    throw new DownloadFailed("wrong_answer", `the host answered ${statusCode}`);
  }
  const contentType = (headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
  if (!/^audio\/[\w.+-]+$|^application\/(ogg|octet-stream)$|^binary\/octet-stream$/.test(contentType)) {
    throw new DownloadFailed(
      "wrong_type",
      `the host sent ${contentType || "no content-type"}, expected audio`,
    );
  }
  if ((headers["content-encoding"] ?? "identity") !== "identity") {
    throw new DownloadFailed("wrong_type", "the host sent it with a content-encoding");
  }
  const length = lengthOf(response, offset);
  const etag = headers.etag ?? null;
  if (first !== null && (length !== first.length || (etag !== first.etag && first.etag !== null))) {
    throw new DownloadFailed("changed", "the file at the link is another one than before");
  }
  return { contentType, length, etag, sha256: statusCode === 200 ? checksumOf(headers) : null };
}

/** No audio begins as a page of HTML, XML or JSON does: a host that knows no type may send those with 200 too. */
function checkBeginning(chunk: Uint8Array, contentType: string): void {
  if (contentType.endsWith("octet-stream") && /^[<{\s]/.test(String.fromCharCode(chunk[0] ?? 0))) {
    throw new DownloadFailed("wrong_type", `the host sent ${contentType}, and it begins as text does`);
  }
}

/** The whole length, as an answer tells it. */
function lengthOf({ statusCode, headers }: IncomingMessage, offset: number): number | null {
  if (statusCode === 206) {
    const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(headers["content-range"] ?? "");
    if (range === null || Number(range[1]) !== offset) {
      throw new DownloadFailed("wrong_answer", "the host sent another range than was asked for");
    }
    return Number(range[2]);
  }
  if (headers["content-length"] !== undefined) return Number(headers["content-length"]);
  if (headers["transfer-encoding"] !== undefined) return null;
  throw new DownloadFailed(
    "wrong_length",
    "the host does not tell the length, so nobody can know when it is whole",
  );
}

function checksumOf(headers: IncomingMessage["headers"]): string | null {
  const digest = headers["repr-digest"] ?? headers["content-digest"];
  const named = /(?:^|,)\s*sha-256=:([\w+/=]+):/.exec(typeof digest === "string" ? digest : "")?.[1];
  const amazon = headers["x-amz-checksum-sha256"];
  // One with a number of parts behind it is a checksum of checksums.
  return named ?? (typeof amazon === "string" && !amazon.includes("-") ? amazon : null);
}
