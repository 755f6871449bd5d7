import { type Arrived, readEvent } from "./arrived.ts";
import { createGroup, GroupFull } from "./group.ts";
import { type Handlers, handlerOf, type SessionHandler } from "./handle.ts";
import {
  type Answer,
  checkHead,
  type Incoming,
  incomingOf,
  type Limits,
  limitDefaults,
  readBody,
} from "./incoming.ts";
import { isJoined, type JoinOptions, joinDefaults } from "./join.ts";
import { type Notify, safely, toConsole } from "./notices.ts";
import { Refused } from "./refused.ts";
import { type RetryOptions, retryDefaults } from "./retry.ts";
import { createRunner, type Runner } from "./runner.ts";
import type { Accepted, DeadEvent, NewEvent, Store, WorkKind } from "./store.ts";
import { createVerifier, type Verifier, type VerifyOptions } from "./verify.ts";

/** An event as a queue gets it. */
export interface Forwarded {
  readonly event: string;
  readonly sessionId: string;
  /** The body as text, byte for byte as it was signed. */
  readonly body: string;
  readonly webhookId: string;
  /** The same for every delivery of the event: for queues that drop what they have already. 32 characters of hex. */
  readonly key: string;
}

/** Hands an event to a queue. Resolves only when the queue has acknowledged that it is safe. */
export type Sink = (event: Forwarded) => Promise<unknown>;

interface CommonOptions {
  /** How requests are verified. Required, unless `unverified` is true. */
  readonly verify?: VerifyOptions;
  /** True: anybody may send events, for a network where only the sender is. Never together with `verify`. */
  readonly unverified?: boolean;
  readonly limits?: Partial<Limits>;
  /** How long storing an event may take until 503 is answered, in ms. 8 s by default: Sendoff waits for 10 s. */
  readonly storeTimeMs?: number;
  /** Gets what there is to tell. Without it, what somebody should look at goes to the console. */
  readonly notify?: Notify;
}

/** A receiver that stores events and runs handlers. */
export interface StoreReceiverOptions<Transaction> extends CommonOptions {
  readonly store: Store<Transaction>;
  readonly on?: Handlers<Transaction>;
  readonly onSession?: SessionHandler<Transaction>;
  /** What `onSession` waits for, and how long. */
  readonly session?: Partial<JoinOptions>;
  /** Handlers that run at a time in this process. 32 by default. */
  readonly concurrency?: number;
  readonly retry?: Partial<RetryOptions>;
  /** How long a process holds work without a sign of life, in ms. 30 s by default. A handler may take longer. */
  readonly leaseMs?: number;
  /** How long a handler may take, in ms. 20 min by default: longer than a recording's link lives. */
  readonly handlerTimeMs?: number;
  /** How often is looked for work that another process has left, in ms. 1 s by default. */
  readonly pollMs?: number;
  /** How long events are kept, in ms: a delivery after that counts as new. 30 days by default. */
  readonly keepMs?: number;
  /** `manual`: handlers run in `runDue` alone, for platforms that stop a process after its answer. */
  readonly work?: "background" | "manual";
}

/** A receiver that hands events to a queue. */
export interface SinkReceiverOptions extends CommonOptions {
  readonly sink: Sink;
}

/** The receiving end of a webhook. */
export interface Receiver {
  /** Answers a request. It never throws. */
  handle(request: Request): Promise<Response>;
  /** The same for adapters, without the classes of the web platform. */
  take(incoming: Incoming): Promise<Answer>;
  /** Makes what the store needs; otherwise the first request does. @throws what the store throws */
  start(): Promise<void>;
  /** Runs handlers that are due until none is, at most for the time. Answers how many. For `work: "manual"`. */
  runDue(options?: { readonly withinMs?: number }): Promise<number>;
  /** The events whose handler has failed for the last time, oldest first. */
  dead(limit?: number): Promise<DeadEvent[]>;
  /** Runs a dead event's handler again, with all its attempts before it. Answers whether there was such an event. */
  revive(id: string): Promise<boolean>;
  /** Answers 503 from now on, waits for running handlers, and gives back what is not finished in time. */
  close(options?: { readonly withinMs?: number }): Promise<void>;
}

const defaults = {
  storeTimeMs: 8_000,
  concurrency: 32,
  leaseMs: 30_000,
  handlerTimeMs: 1_200_000,
  pollMs: 1_000,
  keepMs: 30 * 86_400_000,
  withinMs: 10_000,
  deadLimit: 100,
};
/** Most events that are stored in one commit. */
const acceptMost = 100;
/** Most events that wait for the store. Beyond that 503 is answered: memory has an end. */
const waitingMax = 5_000;
const forgetEveryMs = 3_600_000;

/**
 * Makes a receiver. Nothing is stored and no handler runs before a request is verified, and 2xx is answered only when the
 * event is safe in the store or the queue.
 *
 * @throws TypeError when it is told neither how to verify nor that it need not.
 */
export function createReceiver<Transaction>(
  options: StoreReceiverOptions<Transaction> | SinkReceiverOptions,
): Receiver {
  const verifier = verifierOf(options);
  const limits = { ...limitDefaults, ...options.limits };
  const storeTimeMs = options.storeTimeMs ?? defaults.storeTimeMs;
  const notify = safely(options.notify ?? toConsole);
  const part = "sink" in options ? sinkPart(options.sink) : storePart(options, notify);
  let isClosed = false;

  const take = async (incoming: Incoming): Promise<Answer> => {
    try {
      if (isClosed) throw new Refused("closed", "this receiver is shutting down");
      checkHead(incoming, limits);
      const bytes = await readBody(incoming, limits);
      verifier(incoming.header, bytes);
      const arrived = readEvent(bytes, incoming.header);
      const accepted = await stored(arrived);
      const { session, event } = arrived;
      notify({ kind: accepted === "new" ? "accepted" : accepted, session, event });
      return answerOf(200, { status: accepted === "new" ? "accepted" : "duplicate" });
    } catch (error) {
      return refusal(error);
    }
  };
  const stored = async (arrived: Arrived): Promise<Accepted> => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`it took longer than ${storeTimeMs} ms`)), storeTimeMs);
    });
    try {
      return await Promise.race([part.accept(arrived), late]);
    } catch (error) {
      if (error instanceof GroupFull) throw new Refused("overloaded", "too many events wait for the store");
      notify({ kind: "store_failed", doing: "storing an event", error });
      throw new Refused("not_stored", "the event could not be stored; send it again", { cause: error });
    } finally {
      clearTimeout(timer);
    }
  };
  const refusal = (error: unknown): Answer => {
    const refused =
      error instanceof Refused ? error : new Refused("not_stored", "something failed", { cause: error });
    if (refused !== error) notify({ kind: "store_failed", doing: "taking a request", error });
    const { code, status, message } = refused;
    notify({ kind: "refused", code, status, message });
    return answerOf(status, { error: { code, message } }, further[status]);
  };

  return {
    take,
    async handle(request) {
      const { status, headers, body } = await take(incomingOf(request));
      return new Response(body, { status, headers });
    },
    start: part.start,
    runDue: ({ withinMs = defaults.withinMs } = {}) => part.runDue(withinMs),
    dead: (limit = defaults.deadLimit) => part.dead(limit),
    revive: part.revive,
    async close({ withinMs = defaults.withinMs } = {}) {
      isClosed = true;
      await part.close(withinMs);
    },
  };
}

function verifierOf({ verify, unverified }: CommonOptions): Verifier {
  if (unverified === true) {
    if (verify !== undefined) {
      throw new TypeError("verify and unverified: true contradict each other; give one of them.");
    }
    return () => {};
  }
  return createVerifier(verify ?? {});
}

const further: Readonly<Record<number, Record<string, string>>> = {
  405: { allow: "POST" },
  503: { "retry-after": "1" },
};

const answerOf = (status: number, body: unknown, headers: Record<string, string> = {}): Answer => ({
  status,
  headers: { "content-type": "application/json", ...headers },
  body: JSON.stringify(body),
});

/** What becomes of events that were taken. */
interface Part extends Pick<Receiver, "start" | "revive"> {
  accept(arrived: Arrived): Promise<Accepted>;
  runDue(withinMs: number): Promise<number>;
  dead(limit: number): Promise<DeadEvent[]>;
  close(withinMs: number): Promise<void>;
}

function sinkPart(sink: Sink): Part {
  return {
    async accept({ payload, session, body, webhookId, key }) {
      const sessionId = typeof payload.sessionId === "string" ? payload.sessionId : session;
      await sink({ event: payload.event, sessionId, body, webhookId, key });
      return "new";
    },
    start: async () => {},
    runDue: async () => 0,
    dead: async () => [],
    revive: async () => false,
    close: async () => {},
  };
}

function storePart<Transaction>(options: StoreReceiverOptions<Transaction>, notify: Notify): Part {
  const { store, on = {}, onSession } = options;
  const { concurrency, leaseMs, handlerTimeMs, pollMs, keepMs } = { ...defaults, ...defined(options) };
  const isBackground = options.work !== "manual";
  let ready: Promise<void> | null = null;
  let forgetting: NodeJS.Timeout | undefined;
  const runner: Runner = createRunner({
    ...{ store, on, onSession, notify, concurrency, leaseMs, handlerTimeMs, pollMs },
    join: { ...joinDefaults, ...options.session },
    retry: { ...retryDefaults, ...options.retry },
  });
  const group = createGroup<NewEvent, Accepted>({
    most: acceptMost,
    waitingMax,
    keyOf: ({ session, event }) => `${session}\n${event}`,
    run: (events) => store.accept(events),
  });
  const forget = (): void => {
    store.forget(keepMs).catch((error: unknown) => {
      notify({ kind: "store_failed", doing: "forgetting old events", error });
    });
  };
  const setUp = async (): Promise<void> => {
    if (!store.durable) notify({ kind: "forgets" });
    await store.setUp();
    if (!isBackground) return;
    runner.wake();
    forgetting = setInterval(forget, forgetEveryMs);
    forgetting.unref();
  };
  const start = (): Promise<void> => {
    // What failed is tried again by the next request.
    ready ??= setUp().catch((error: unknown) => {
      ready = null;
      throw error;
    });
    return ready;
  };
  const workOf = (event: string): WorkKind[] => [
    ...(handlerOf(on, event) === undefined ? [] : (["event"] as const)),
    ...(onSession === undefined || !isJoined(event) ? [] : (["look"] as const)),
  ];
  return {
    start,
    async accept({ session, event, body, digest, webhookId, payload }) {
      await start();
      const accepted = await group.add({
        session,
        event,
        body,
        digest,
        webhookId,
        work: workOf(payload.event),
      });
      if (accepted === "new" && isBackground) runner.wake();
      return accepted;
    },
    async runDue(withinMs) {
      await start();
      return runner.runDue(withinMs);
    },
    async dead(limit) {
      await start();
      return store.dead(limit);
    },
    async revive(id) {
      await start();
      const isRevived = await store.revive(id);
      if (isRevived && isBackground) runner.wake();
      return isRevived;
    },
    async close(withinMs) {
      clearInterval(forgetting);
      await runner.close(withinMs);
    },
  };
}

/** Without what is undefined, which would stand in the way of a default. */
const defined = <Values extends object>(values: Values): Values =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Values;
