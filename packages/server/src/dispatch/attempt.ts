import type { AttemptStep } from "@sendoff/contract";
import type { Dispatcher } from "undici";
import type { Clock } from "../clock.ts";
import { Blocked } from "../egress/guard.ts";
import { type AttemptResult, blockedResult } from "../outbox/result.ts";
import { parseRetryAfter } from "../outbox/retry.ts";
import { type Connection, connectionGone, type Origin } from "./clients.ts";
import { failureOf } from "./failure.ts";

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
/** Most fields of an answer's header. */
const headerFieldsMax = 200;

/**
 * Makes one POST and tells how it ended. It never throws, follows no redirect, sends nothing twice, and is over by the
 * deadline: the timer is absolute, so a server that drips bytes does not extend it (behaviour, section 4).
 *
 * @returns null when it might not begin any more: not one byte was written.
 */
export function makeAttempt(
  origin: Origin,
  request: AttemptRequest,
  clock: Clock,
): Promise<AttemptResult | null> {
  if (!request.mayBegin()) return Promise.resolve(null);
  return new Promise((resolve) => {
    new Exchange(origin, clock, request, resolve).begin();
  });
}

const tooLate = new Error("the claim does not last long enough any more");
const overTime = new Error("the deadline of the attempt has passed");
const overGrace = new Error("the rest of the body took too long");
const enough = new Error("no more of the answer is needed");
const attemptOver = new Error("the attempt is over");
const unlawful = (what: string): Error => Object.assign(new Error(what), { code: "SENDOFF_PROTOCOL" });

/** With an error: undici takes a plain end for the end of a body without a length, also of a request that was aborted. */
function close({ client, socket }: Connection): void {
  socket.destroy(attemptOver);
  client.destroy().catch(() => {});
}

/** One request and its answer, as undici tells of them. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #origin: Origin;
  readonly #clock: Clock;
  readonly #request: AttemptRequest;
  readonly #startedMs: number;
  readonly #resolve: (result: AttemptResult | null) => void;
  readonly #deadline: NodeJS.Timeout;
  #grace: NodeJS.Timeout | undefined;
  /** While a connection is being opened: what ends that. */
  #opening: AbortController | null = null;
  readonly #progress: { step: "dns" | "connect" | "tls" } = { step: "dns" };
  #connection: Connection | null = null;
  #controller: Dispatcher.DispatchController | null = null;
  #over = false;
  #status: number | null = null;
  #retryAfterMs: number | null = null;
  #informational = 0;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(
    origin: Origin,
    clock: Clock,
    request: AttemptRequest,
    resolve: (result: AttemptResult | null) => void,
  ) {
    this.#origin = origin;
    this.#clock = clock;
    this.#request = request;
    this.#startedMs = clock.monotonicMs();
    this.#resolve = resolve;
    this.#deadline = setTimeout(() => this.#abort(overTime), request.timeoutMs);
  }

  begin(): void {
    try {
      const idle = this.#origin.take(this.#request.url);
      if (idle !== null) this.#send(idle);
      else this.#open();
    } catch (error) {
      this.#finish(error as Error);
    }
  }

  #open(): void {
    this.#opening = new AbortController();
    this.#origin.open(this.#request.url, this.#progress, this.#opening.signal).then(
      (connection) => {
        this.#opening = null;
        if (this.#over) close(connection);
        else this.#send(connection);
      },
      (error: Error) => this.#finish(error),
    );
  }

  #send(connection: Connection): void {
    this.#connection = connection;
    const { url, headers, body } = this.#request;
    try {
      connection.client.dispatch(
        {
          path: url.pathname + url.search,
          method: "POST",
          headers: headers as string[],
          body,
          // Undici's own timers start anew with each byte; the deadline above does not.
          headersTimeout: 0,
          bodyTimeout: 0,
        },
        this,
      );
    } catch (error) {
      this.#finish(error as Error);
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // It waited for a connection for longer than it may: abort before the first byte is written.
    if (this.#over) controller.abort(overTime);
    else if (!this.#request.mayBegin()) controller.abort(tooLate);
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    const { rawHeaders } = controller;
    if (Array.isArray(rawHeaders) && rawHeaders.length > headerFieldsMax * 2) {
      controller.abort(unlawful("too many header fields"));
      return;
    }
    if (status < 200) {
      if (++this.#informational > informationalMax)
        controller.abort(unlawful("too many informational answers"));
      return;
    }
    this.#status = status;
    const retryAfter = headers["retry-after"];
    this.#retryAfterMs = parseRetryAfter(
      Array.isArray(retryAfter) ? retryAfter[0] : retryAfter,
      this.#clock.wallMs(),
    );
    this.#grace = setTimeout(() => this.#abort(overGrace), bodyGraceMs);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    // A copy: the chunk is a view into a buffer of the parser.
    if (this.#bytes < bodyKeptMax)
      this.#chunks.push(Buffer.from(chunk.subarray(0, bodyKeptMax - this.#bytes)));
    this.#bytes += chunk.length;
    if (this.#bytes >= bodyReadMax) controller.abort(enough);
  }

  onResponseEnd(): void {
    this.#finish(null);
  }

  onRequestUpgrade(controller: Dispatcher.DispatchController): void {
    controller.abort(unlawful("the server switched protocols"));
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (error === connectionGone && this.#controller === null && !this.#over) this.#another();
    else this.#finish(error);
  }

  /** A new connection in the place of one that was closed before a byte was written on it. */
  #another(): void {
    if (this.#connection !== null) close(this.#connection);
    this.#connection = null;
    this.#open();
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
    // Closed before the outcome is known to anybody: nothing of this attempt may reach the receiver after that.
    this.#opening?.abort(error);
    const step = this.#stepReached();
    if (this.#connection !== null) {
      if (error === null) this.#origin.giveBack(this.#connection);
      else close(this.#connection);
    }
    if (error === tooLate) {
      this.#resolve(null);
      return;
    }
    // Neither a rule nor a duration: both would tell strangers about the network that Sendoff stands in.
    if (error instanceof Blocked) {
      this.#resolve(blockedResult("blocked"));
      return;
    }
    this.#resolve({
      ...this.#judge(error, step),
      responseStatus: this.#status,
      retryAfterMs: this.#retryAfterMs,
      responseBody: this.#status === null ? null : Buffer.concat(this.#chunks),
      // Tenths are enough, and short to read.
      durationMs: Math.round((this.#clock.monotonicMs() - this.#startedMs) * 10) / 10,
    });
  }

  #stepReached(): AttemptStep {
    if (this.#connection === null) return this.#progress.step;
    // What the system has not taken yet, the receiver cannot have answered.
    return this.#connection.socket.writableLength > 0 ? "request" : "response";
  }

  /** The status of a complete header block decides, whatever became of the body behind it. */
  #judge(
    error: Error | null,
    step: AttemptStep,
  ): Pick<AttemptResult, "outcome" | "errorCode" | "failedStep"> {
    const status = this.#status;
    if (status !== null) {
      const whole = error === null || error === enough;
      if (status < 300) {
        return { outcome: "delivered", errorCode: whole ? null : "body_incomplete", failedStep: null };
      }
      const errorCode = status < 400 ? "redirect_not_followed" : "http_error";
      return { outcome: "rejected", errorCode, failedStep: "response" };
    }
    if (error === overTime) return { outcome: "timed_out", errorCode: "timed_out", failedStep: step };
    return failureOf(error, step);
  }
}
