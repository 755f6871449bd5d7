import type { AttemptStep } from "@sendoff/contract";
import type { Dispatcher } from "undici";
import type { Clock } from "../clock.ts";
import type { AttemptResult } from "../outbox/result.ts";
import { parseRetryAfter } from "../outbox/retry.ts";

/** One POST to make. */
export interface AttemptRequest {
  readonly url: URL;
  /** Names and values in turn, all of them; framing headers are the client's own. */
  readonly headers: readonly string[];
  readonly body: string;
  /** One absolute deadline over everything, in milliseconds. */
  readonly timeoutMs: number;
  /** Asked right before connecting and again before the first byte: whether the claim still lasts long enough. */
  readonly mayBegin: () => boolean;
}

/** Most bytes of an answer that are read, and that are kept. Behaviour, section 4. */
const bodyReadMax = 64 * 1024;
const bodyKeptMax = 4 * 1024;
/** How long the rest of a body may take once the status is known, in milliseconds: the status decides. */
const bodyGraceMs = 1_000;
/** Most informational (1xx) answers before the real one. */
const informationalMax = 8;

/**
 * Makes one POST and tells how it ended. It never throws, follows no redirect, sends nothing twice, and is over by the
 * deadline: the timer is absolute, so a server that drips bytes does not extend it (behaviour, section 4).
 *
 * @returns null when it might not begin any more: not one byte was written.
 */
export function makeAttempt(
  client: Dispatcher,
  request: AttemptRequest,
  clock: Clock,
): Promise<AttemptResult | null> {
  if (!request.mayBegin()) return Promise.resolve(null);
  return new Promise((resolve) => {
    const exchange = new Exchange(clock, request, resolve);
    try {
      client.dispatch(
        {
          origin: request.url.origin,
          path: request.url.pathname + request.url.search,
          method: "POST",
          headers: request.headers as string[],
          body: request.body,
          // Undici's own timers start anew with each byte; the deadline above does not.
          headersTimeout: 0,
          bodyTimeout: 0,
        },
        exchange,
      );
    } catch (error) {
      exchange.onResponseError(null, error as Error);
    }
  });
}

const tooLate = new Error("the claim does not last long enough any more");
const overTime = new Error("the deadline of the attempt has passed");
const enough = new Error("no more of the answer is needed");

/** One request and its answer, as undici tells of them. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #clock: Clock;
  readonly #startedMs: number;
  readonly #resolve: (result: AttemptResult | null) => void;
  readonly #mayBegin: () => boolean;
  readonly #deadline: NodeJS.Timeout;
  #grace: NodeJS.Timeout | undefined;
  #controller: Dispatcher.DispatchController | null = null;
  #over = false;
  #status: number | null = null;
  #retryAfterMs: number | null = null;
  #informational = 0;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(clock: Clock, request: AttemptRequest, resolve: (result: AttemptResult | null) => void) {
    this.#clock = clock;
    this.#startedMs = clock.monotonicMs();
    this.#resolve = resolve;
    this.#mayBegin = request.mayBegin;
    this.#deadline = setTimeout(() => this.#abort(overTime), request.timeoutMs);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // It waited for a connection for longer than it may: abort before the first byte is written.
    if (this.#over) controller.abort(overTime);
    else if (!this.#mayBegin()) controller.abort(tooLate);
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) {
      if (++this.#informational > informationalMax)
        controller.abort(new Error("too many informational answers"));
      return;
    }
    this.#status = status;
    const retryAfter = headers["retry-after"];
    this.#retryAfterMs = parseRetryAfter(
      Array.isArray(retryAfter) ? retryAfter[0] : retryAfter,
      this.#clock.wallMs(),
    );
    this.#grace = setTimeout(() => this.#abort(enough), bodyGraceMs);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    // A copy: the chunk is a view into a buffer of the parser.
    if (this.#bytes < bodyKeptMax)
      this.#chunks.push(Buffer.from(chunk.subarray(0, bodyKeptMax - this.#bytes)));
    this.#bytes += chunk.length;
    if (this.#bytes > bodyReadMax) controller.abort(enough);
  }

  onResponseEnd(): void {
    this.#finish(null);
  }

  onRequestUpgrade(controller: Dispatcher.DispatchController): void {
    controller.abort(new Error("the server switched protocols"));
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    this.#finish(error);
  }

  #abort(reason: Error): void {
    if (this.#controller === null) this.#finish(reason);
    else this.#controller.abort(reason);
  }

  #finish(error: Error | null): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#deadline);
    clearTimeout(this.#grace);
    if (error === tooLate) {
      this.#resolve(null);
      return;
    }
    this.#resolve({
      ...this.#judge(error),
      responseStatus: this.#status,
      retryAfterMs: this.#retryAfterMs,
      responseBody: this.#status === null ? null : Buffer.concat(this.#chunks),
      // Tenths are enough, and short to read.
      durationMs: Math.round((this.#clock.monotonicMs() - this.#startedMs) * 10) / 10,
    });
  }

  /** The status of a complete header block decides, whatever became of the body behind it. */
  #judge(error: Error | null): Pick<AttemptResult, "outcome" | "errorCode" | "failedStep"> {
    const status = this.#status;
    if (status !== null) {
      if (status < 300) return { outcome: "delivered", errorCode: null, failedStep: null };
      const errorCode = status < 400 ? "redirect_not_followed" : "http_error";
      return { outcome: "rejected", errorCode, failedStep: "response" };
    }
    const begun = this.#controller !== null;
    if (error === overTime) {
      return { outcome: "timed_out", errorCode: "timed_out", failedStep: begun ? "response" : "connect" };
    }
    return failureOf(error, begun);
  }
}

type Failure = Pick<AttemptResult, "outcome" | "errorCode" | "failedStep">;

/** What an error of the client means, before any complete answer. */
function failureOf(error: Error | null, begun: boolean): Failure {
  const code = error !== null && "code" in error ? String(error.code) : "";
  if (/^(ENOTFOUND|EAI_)/.test(code)) return unreachable("dns_error", "dns");
  if (code === "UND_ERR_CONNECT_TIMEOUT")
    return { ...unreachable("connect_error", "connect"), outcome: "timed_out" };
  if (/CERT|TLS|SSL|SELF_SIGNED|UNABLE_TO/.test(code)) return unreachable("tls_error", "tls");
  if (!begun) return unreachable("connect_error", "connect");
  return code.startsWith("HPE_") || code === "UND_ERR_HEADERS_OVERFLOW" || code === ""
    ? unreachable("protocol_error", "response")
    : unreachable("connection_lost", "response");
}

function unreachable(errorCode: string, failedStep: AttemptStep): Failure {
  return { outcome: "unreachable", errorCode, failedStep };
}
