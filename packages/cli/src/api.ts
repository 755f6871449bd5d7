import { ErrorBody } from "@sendoff/contract";
import { Pool } from "undici";
import { CommandFailure } from "./io.ts";
import { visible } from "./visible.ts";

/** An answer of the server. */
export interface Answer {
  readonly status: number;
  /** The JSON that was answered; undefined when it was none. */
  readonly body: unknown;
  /** What Retry-After asked for, in milliseconds. */
  readonly retryAfterMs: number | null;
  /** When the request was handed to a connection, by this machine's clock, in milliseconds since 1970. */
  readonly sentAtMs: number;
}

/** No answer came: the connection was refused or broke, or the time was up. Whether the request was taken is open. */
export class NoAnswer extends Error {
  constructor(origin: string, cause: unknown) {
    super(`${origin} does not answer (${reasonOf(cause)})`, { cause });
    this.name = "NoAnswer";
  }
}

/** Methods that the commands use. */
export type Method = "GET" | "POST" | "PATCH";

/** A connection to one server: keep-alive, JSON both ways, at most so many requests at once. */
export class Api {
  readonly #pool: Pool;
  readonly #origin: string;
  readonly #basePath: string;
  readonly #headers: Record<string, string>;
  readonly #slots: Slots;

  /**
   * @param url base of every path given to {@link Api.request}.
   * @param key sent as a Bearer key; null sends none.
   * @param atOnce requests in flight at once; further ones wait their turn.
   */
  constructor(url: string, key: string | null, atOnce: number) {
    const { origin, pathname } = new URL(url);
    this.#origin = origin;
    this.#basePath = pathname.replace(/\/+$/, "");
    this.#headers = {
      accept: "application/json",
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
    };
    this.#slots = new Slots(atOnce);
    this.#pool = new Pool(origin, {
      connections: atOnce,
      connect: { timeout: 5_000 },
      headersTimeout: 30_000,
      bodyTimeout: 30_000,
    });
  }

  /** Sends one request. @throws {NoAnswer} */
  async request(method: Method, path: string, body?: unknown): Promise<Answer> {
    await this.#slots.take();
    try {
      return await this.#send(method, path, body);
    } finally {
      this.#slots.give();
    }
  }

  /** Uploads bytes by PUT. @throws {NoAnswer} */
  async upload(path: string, bytes: Uint8Array): Promise<Answer> {
    await this.#slots.take();
    try {
      return await this.#exchange("PUT", path, "application/octet-stream", bytes);
    } finally {
      this.#slots.give();
    }
  }

  /** Closes all connections when the last answer is in. */
  close(): Promise<void> {
    return this.#pool.close();
  }

  #send(method: Method, path: string, body: unknown): Promise<Answer> {
    return body === undefined
      ? this.#exchange(method, path, null, null)
      : this.#exchange(method, path, "application/json", JSON.stringify(body));
  }

  async #exchange(
    method: Method | "PUT",
    path: string,
    type: string | null,
    body: string | Uint8Array | null,
  ): Promise<Answer> {
    const sentAtMs = Date.now();
    try {
      const response = await this.#pool.request({
        method,
        path: `${this.#basePath}${path}`,
        headers: type === null ? this.#headers : { ...this.#headers, "content-type": type },
        body,
      });
      const text = await response.body.text();
      return {
        status: response.statusCode,
        body: json(text),
        retryAfterMs: retryAfterMs(response.headers["retry-after"]),
        sentAtMs,
      };
    } catch (error) {
      throw new NoAnswer(this.#origin, error);
    }
  }
}

/** What went wrong, as the server says it, in one line that is safe to print. */
export function errorSentence(answer: Pick<Answer, "status" | "body">): string {
  const error = ErrorBody.safeParse(answer.body);
  if (!error.success) return `HTTP ${answer.status}`;
  const { code, message, details } = error.data.error;
  const where = details.map((detail) => `${detail.path}: ${detail.message}`).join("; ");
  return visible(`${answer.status} ${code}: ${message}${where === "" ? "" : ` (${where})`}`, 400);
}

/** The `data` of a successful answer. @throws {CommandFailure} for any other answer. */
export function dataOf(answer: Answer, what: string): unknown {
  if (answer.status < 200 || answer.status > 299) {
    throw new CommandFailure(`${what} could not be read: ${errorSentence(answer)}`);
  }
  return typeof answer.body === "object" && answer.body !== null && "data" in answer.body
    ? answer.body.data
    : undefined;
}

/** Lets a number of holders in; the others wait in order. */
class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async take(): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function retryAfterMs(header: string | string[] | undefined): number | null {
  if (typeof header !== "string") return null;
  if (/^\d+$/.test(header)) return Number(header) * 1_000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(0, at - Date.now());
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  if ("code" in cause && typeof cause.code === "string") return cause.code;
  return cause.message;
}
