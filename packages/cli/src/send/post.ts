import { randomUUID } from "node:crypto";
import { Agent, request } from "undici";
import { version } from "../version.ts";
import { signatureOf } from "./signature.ts";

/** One header of a POST, with a name in lower case. */
export type OwnHeaders = Readonly<Record<string, string>>;

/** What came of a POST. */
export type Answered =
  | {
      readonly kind: "answered";
      readonly status: number;
      /** The beginning of the body. */
      readonly body: string;
      readonly location: string | null;
      /** From the send to the end of the answer. */
      readonly ms: number;
    }
  | {
      readonly kind: "none";
      /** Why, in words. */
      readonly reason: string;
      /** Nothing of the request can have been handled: no connection was made. */
      readonly unsent: boolean;
      readonly timedOut: boolean;
      readonly ms: number;
    };

/** So much of an answer is read, as Sendoff does it, and so much is kept. */
const readMaxBytes = 64 * 1024;
const keptMaxBytes = 4 * 1024;

/** A webhook-id in the form that Sendoff gives them. */
export const newWebhookId = (): string => `msg_${randomUUID().replaceAll("-", "")}`;

/** What the headers of one POST are made from. */
export interface EventHeaders {
  readonly webhookId: string;
  readonly body: string;
  /** Each signs; none: the POST is not signed. */
  readonly secrets: readonly string[];
  readonly own: OwnHeaders;
  /** Default: now. Seconds since 1970. */
  readonly timestamp?: number;
}

/** The headers of an event's POST, as Sendoff sends them (behaviour, section 4). */
export function eventHeaders(parts: EventHeaders): Record<string, string> {
  const timestamp = parts.timestamp ?? Math.floor(Date.now() / 1_000);
  return {
    ...parts.own,
    "content-type": "application/json",
    "user-agent": `Sendoff-CLI/${version()}`,
    "webhook-id": parts.webhookId,
    "webhook-timestamp": String(timestamp),
    ...(parts.secrets.length === 0
      ? {}
      : { "webhook-signature": signatureOf(parts.secrets, parts.webhookId, timestamp, parts.body) }),
    "sendoff-attempt": "1",
    "sendoff-trigger": "live",
  };
}

/** Makes POSTs to a receiver under one absolute deadline each. Redirects are not followed: Sendoff follows none. */
export class Poster {
  readonly #url: string;
  readonly #timeoutMs: number;
  // A new connection within each pause: an idle one that the receiver closes meanwhile would lose a POST.
  readonly #agent = new Agent({ keepAliveTimeout: 1_000, keepAliveMaxTimeout: 1_000, pipelining: 1 });

  constructor(url: string, timeoutMs: number) {
    this.#url = url;
    this.#timeoutMs = timeoutMs;
  }

  async post(body: string, headers: Record<string, string>): Promise<Answered> {
    const startedAt = performance.now();
    const ms = (): number => performance.now() - startedAt;
    const deadline = AbortSignal.timeout(this.#timeoutMs);
    try {
      const response = await request(this.#url, {
        method: "POST",
        headers,
        body,
        dispatcher: this.#agent,
        signal: deadline,
      });
      const text = await beginning(response.body);
      const { location } = response.headers;
      return {
        kind: "answered",
        status: response.statusCode,
        body: text,
        location: typeof location === "string" ? location : null,
        ms: ms(),
      };
    } catch (error) {
      const timedOut = deadline.aborted;
      const code = codeOf(error);
      return {
        kind: "none",
        reason: timedOut ? `no answer within ${this.#timeoutMs} ms` : code,
        unsent: ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"].includes(code),
        timedOut,
        ms: ms(),
      };
    }
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }
}

async function beginning(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    chunks.push(chunk);
    if (bytes >= readMaxBytes) break;
  }
  return Buffer.concat(chunks).subarray(0, keptMaxBytes).toString("utf8");
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Several addresses of a name fail as one error that has no code of its own.
  const inner = error instanceof AggregateError ? error.errors[0] : error;
  return inner instanceof Error && "code" in inner && typeof inner.code === "string"
    ? inner.code
    : error.message;
}
