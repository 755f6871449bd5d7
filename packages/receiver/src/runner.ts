import { createGroup } from "./group.ts";
import { type HandlingOptions, handleClaim } from "./handle.ts";
import { decideJoin, joinedEvent } from "./join.ts";
import type { Notify } from "./notices.ts";
import { pauseMs, type RetryOptions } from "./retry.ts";
import { type Claim, ClaimLost, GiveUp } from "./store.ts";

export interface RunnerOptions<Transaction> extends HandlingOptions<Transaction> {
  readonly concurrency: number;
  readonly leaseMs: number;
  readonly pollMs: number;
  readonly handlerTimeMs: number;
  readonly retry: RetryOptions;
  readonly notify: Notify;
}

/** Runs handlers for work that is due. */
export interface Runner {
  /** Looks for work now, and from now on by itself. */
  wake(): void;
  /** Runs what is due, until nothing more is or the time is over. Answers how much it was. */
  runDue(withinMs: number): Promise<number>;
  /** Begins nothing more, and waits for what is running; aborts that after the time. */
  close(withinMs: number): Promise<void>;
}

interface Active {
  readonly claim: Claim;
  readonly abort: AbortController;
  readonly ended: Promise<void>;
}

/** Most pieces of work that are marked as done together. */
const doneMost = 200;
/** How long is waited for more room, when there is little. */
const littleRoomMs = 10;
const errorCharactersMax = 2_000;

export function createRunner<Transaction>(options: RunnerOptions<Transaction>): Runner {
  const { store, notify, concurrency, leaseMs } = options;
  const active = new Map<string, Active>();
  const finish = createGroup<Claim, boolean>({
    most: doneMost,
    waitingMax: Number.POSITIVE_INFINITY,
    keyOf: ({ id }) => id,
    async run(claims) {
      const held = new Set(await store.done(claims));
      return claims.map(({ id }) => held.has(id));
    },
  });
  let isClosed = false;
  let isLooping = false;
  let wasWoken = false;
  let wakeUp: () => void = () => {};

  const claim = async (limit: number): Promise<Claim[]> => {
    try {
      return await store.claim(limit, leaseMs);
    } catch (error) {
      notify({ kind: "store_failed", doing: "looking for work", error });
      return [];
    }
  };
  const begin = (piece: Claim): Promise<void> => {
    const abort = new AbortController();
    const ended = work(piece, abort)
      .catch((error: unknown) => {
        // The lease runs out, and then somebody takes it over.
        notify({ kind: "store_failed", doing: "noting what became of an event", error });
      })
      .finally(() => {
        active.delete(piece.id);
        wakeUp();
      });
    active.set(piece.id, { claim: piece, abort, ended });
    return ended;
  };

  const work = async (piece: Claim, abort: AbortController): Promise<void> => {
    if (piece.kind === "look") return look(piece);
    const { session, event, attempt } = piece;
    if (attempt > options.retry.attempts) {
      const error = "the process ended while the handler ran, as often as it may be tried";
      await store.bury(piece, error);
      notify({ kind: "dead", session, event, attempt, error });
      return;
    }
    try {
      const isMarked = await limited(piece, abort);
      if (!isMarked && !(await finish.add(piece))) return notify({ kind: "claim_lost", session, event });
      notify({ kind: "handled", session, event, attempt });
    } catch (error) {
      await failed(piece, error);
    }
  };
  const limited = async (piece: Claim, abort: AbortController): Promise<boolean> => {
    let timer: NodeJS.Timeout | undefined;
    const cut = new Promise<never>((_resolve, reject) => {
      abort.signal.addEventListener("abort", () => reject(abort.signal.reason), { once: true });
      timer = setTimeout(
        () => abort.abort(new Error(`the handler took longer than ${options.handlerTimeMs} ms`)),
        options.handlerTimeMs,
      );
    });
    try {
      return await Promise.race([handleClaim(options, piece, abort.signal), cut]);
    } finally {
      clearTimeout(timer);
    }
  };
  const failed = async (piece: Claim, error: unknown): Promise<void> => {
    const { session, event, attempt } = piece;
    if (error instanceof ClaimLost) return notify({ kind: "claim_lost", session, event });
    // Given back: it did not fail, this process ends.
    if (error === closing) return store.again(piece, 0, null);
    const text = (error instanceof Error ? (error.stack ?? error.message) : String(error)).slice(
      0,
      errorCharactersMax,
    );
    // A NUL is refused by PostgreSQL, and then the failure could not be noted.
    const storable = text.replaceAll("\0", "\ufffd");
    if (attempt >= options.retry.attempts || error instanceof GiveUp) {
      await store.bury(piece, storable);
      notify({ kind: "dead", session, event, attempt, error });
      return;
    }
    const pause = pauseMs(options.retry, attempt, Math.random());
    await store.again(piece, pause, storable);
    notify({ kind: "handler_failed", session, event, attempt, pauseMs: pause, error });
    // Polling would find it too, but up to a poll later.
    if (pause < options.pollMs) setTimeout(() => wakeUp(), pause + 5).unref();
  };
  const look = async (piece: Claim): Promise<void> => {
    const decision = decideJoin(await store.session(piece.session), options.join);
    if (decision.kind === "wait") return store.again(piece, Math.max(1, Math.round(decision.ms)), null);
    if (decision.kind === "joined") {
      await finish.add(piece);
      return;
    }
    await store.join(piece, {
      session: piece.session,
      event: joinedEvent,
      body: "{}",
      digest: "",
      webhookId: "",
      work: ["event"],
    });
    wakeUp();
  };

  const extend = async (): Promise<void> => {
    const claims = [...active.values()].map((each) => each.claim);
    if (claims.length === 0) return;
    try {
      const held = new Set(await store.extend(claims, leaseMs));
      for (const { claim: piece, abort } of active.values()) {
        if (claims.includes(piece) && !held.has(piece.id)) abort.abort(new ClaimLost(piece));
      }
    } catch (error) {
      notify({ kind: "store_failed", doing: "renewing leases", error });
    }
  };
  const renewing = setInterval(() => void extend(), leaseMs / 3);
  renewing.unref();

  const loop = async (): Promise<void> => {
    while (!isClosed) {
      wasWoken = false;
      const free = concurrency - active.size;
      const claims = free > 0 ? await claim(free) : [];
      for (const piece of claims) void begin(piece);
      const isMore = claims.length === free || wasWoken;
      await resting(isMore);
    }
  };
  /**
   * Until there may be something to do: at once when a quarter of the room is free, a moment later when less is (or each
   * handler that ends would cost a statement of its own), else after the pause of polling.
   */
  const resting = (isMore: boolean): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, options.pollMs).unref();
      wakeUp = () => {
        wasWoken = true;
        const free = concurrency - active.size;
        if (isClosed || free >= concurrency / 4) {
          clearTimeout(timer);
          resolve();
        } else if (free > 0) {
          setTimeout(resolve, littleRoomMs).unref();
        }
      };
      if (isMore || isClosed) wakeUp();
    });

  return {
    wake() {
      if (!isLooping) {
        isLooping = true;
        void loop();
      }
      wakeUp();
    },
    async runDue(withinMs) {
      const end = performance.now() + withinMs;
      let count = 0;
      while (!isClosed && performance.now() < end) {
        const claims = await claim(concurrency);
        if (claims.length === 0) break;
        count += claims.length;
        await Promise.all(claims.map(begin));
      }
      return count;
    },
    async close(withinMs) {
      isClosed = true;
      wakeUp();
      const timer = setTimeout(() => {
        for (const { abort } of active.values()) abort.abort(closing);
      }, withinMs);
      await Promise.all([...active.values()].map(({ ended }) => ended));
      clearTimeout(timer);
      clearInterval(renewing);
    },
  };
}

const closing = new Error("the receiver is closing");
