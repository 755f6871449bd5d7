import { idempotencyKey } from "./arrived.ts";
import { type JoinOptions, joinedEvent, type Session, sessionOf } from "./join.ts";
import type { EventName, Payloads, UnknownPayload } from "./payloads.ts";
import { isKnownEvent } from "./payloads.ts";
import type { Claim, Store } from "./store.ts";

/** What a handler gets beside the payload. */
export interface Context<Transaction> {
  /** The how manyth time this event is tried, from 1. */
  readonly attempt: number;
  /** The same in every attempt for this event, and no other event's. Hand it to services that know idempotency keys. */
  readonly idempotencyKey: string;
  /** `webhook-id`; empty from a sender that has none. */
  readonly webhookId: string;
  /** When the event arrived, by the store's clock, as this machine's clock tells it. */
  readonly receivedAt: Date;
  /** Aborted when the work was lost, takes too long, or the receiver is closed. */
  readonly signal: AbortSignal;
  /**
   * Runs `act` and marks the event as done, in one commit: either both have happened or neither. An effect that is made
   * with what `act` is given happens exactly once. Call it last; the event is done when it returns.
   *
   * @throws ClaimLost when another process has taken the work over; nothing of it has happened then.
   */
  transaction<Result>(act: (transaction: Transaction) => Promise<Result> | Result): Promise<Result>;
  /** What has arrived of the event's session until now, in any order. */
  session(): Promise<Session>;
}

/** Handles one kind of event. What it throws makes it run again after a pause. */
export type Handler<Body, Transaction> = (
  payload: Body,
  context: Context<Transaction>,
) => Promise<unknown> | unknown;

/** A handler for each event that one wants. The others are acknowledged. */
export type Handlers<Transaction> = {
  readonly [Name in EventName]?: Handler<Payloads[Name], Transaction>;
} & {
  /** Events that are newer than this package. */
  readonly unknown?: Handler<UnknownPayload, Transaction>;
};

/** Runs once for each session, when its events have arrived or their time is over. */
export type SessionHandler<Transaction> = Handler<Session, Transaction>;

export interface HandlingOptions<Transaction> {
  readonly store: Store<Transaction>;
  readonly on: Handlers<Transaction>;
  readonly onSession: SessionHandler<Transaction> | undefined;
  readonly join: JoinOptions;
}

/** The handler of an event by its payload's name; undefined when nobody asked for it. */
export function handlerOf<Transaction>(
  on: Handlers<Transaction>,
  event: string,
): Handler<never, Transaction> | undefined {
  return isKnownEvent(event) ? on[event] : on.unknown;
}

/**
 * Runs the handler of a claim.
 *
 * @returns whether the handler's own transaction has marked the work as done.
 */
export async function handleClaim<Transaction>(
  { store, on, onSession, join }: HandlingOptions<Transaction>,
  claim: Claim,
  signal: AbortSignal,
): Promise<boolean> {
  let isMarked = false;
  const context: Context<Transaction> = {
    attempt: claim.attempt,
    idempotencyKey: idempotencyKey(claim.session, claim.event),
    webhookId: claim.webhookId,
    receivedAt: new Date(Date.now() - claim.ageMs),
    signal,
    async transaction(act) {
      signal.throwIfAborted();
      const result = await store.transact(claim, async (transaction) => act(transaction));
      isMarked = true;
      return result;
    },
    session: async () => sessionOf(await store.session(claim.session), join),
  };
  if (claim.event === joinedEvent) {
    await onSession?.(await context.session(), context);
  } else {
    const payload = JSON.parse(claim.body) as UnknownPayload;
    await handlerOf(on, payload.event)?.(payload as never, context);
  }
  return isMarked;
}
