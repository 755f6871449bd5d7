/** An event that is to be stored. */
export interface NewEvent {
  /** Key of the session, at most 257 characters of ASCII. */
  readonly session: string;
  /** Key of the event within the session. */
  readonly event: string;
  /** Text of the body. */
  readonly body: string;
  /** Digest of what must be the same in every delivery of the event. */
  readonly digest: string;
  readonly webhookId: string;
  /** What is to be done for it: run its handler, look whether its session is complete. */
  readonly work: readonly WorkKind[];
}

/** `event`: run a handler for it. `look`: see whether its session is complete. */
export type WorkKind = "event" | "look";

/**
 * What became of an event: `new` when it was stored now; `duplicate` when it was there; `conflict` when another body was
 * there under its key, which stays.
 */
export type Accepted = "new" | "duplicate" | "conflict";

/** A piece of work that this process may do until its lease is over. */
export interface Claim {
  readonly id: string;
  readonly kind: WorkKind;
  readonly session: string;
  readonly event: string;
  readonly body: string;
  readonly webhookId: string;
  /** How long ago the event arrived, in ms, by the store's clock. */
  readonly ageMs: number;
  /** The how manyth time it is tried, from 1. A try that died with its process counts. */
  readonly attempt: number;
  /** Grows with each claim of this piece of work. Whoever holds an older one can no longer do anything with it. */
  readonly fence: number;
}

/** An event of a session, as it is stored. */
export interface StoredEvent {
  readonly event: string;
  readonly body: string;
  /** How long ago it arrived, in ms, by the store's clock. */
  readonly ageMs: number;
}

/** An event whose handler has failed for the last time. */
export interface DeadEvent {
  readonly id: string;
  readonly session: string;
  readonly event: string;
  readonly body: string;
  readonly attempts: number;
  /** What the handler threw last. */
  readonly error: string;
}

/**
 * Where events are safe and work is shared out. One suite holds all stores to this (test/stores.test.ts). `Transaction`
 * is what a handler is given to make its effect in one commit with the mark that the event is done.
 *
 * Moments are those of the store's own clock: processes whose clocks differ may share a store.
 */
export interface Store<Transaction> {
  /** False: what is stored is gone when the process ends. */
  readonly durable: boolean;
  /** Makes what it needs, if that is not there. Called once, before anything else. */
  setUp(): Promise<void>;
  /** Stores those that are new, with their work, in one commit. No two of them have the same session and event. */
  accept(events: readonly NewEvent[]): Promise<Accepted[]>;
  /** Takes work that is due, at most `limit` pieces. What is not finished within the lease is due again. */
  claim(limit: number, leaseMs: number): Promise<Claim[]>;
  /** Renews leases. Answers the ids of those that are still held. */
  extend(claims: readonly Claim[], leaseMs: number): Promise<string[]>;
  /** Marks work as done. Answers the ids of those that were still held. */
  done(claims: readonly Claim[]): Promise<string[]>;
  /**
   * Makes work due again after a pause; does nothing when it is no longer held.
   *
   * @param error what failed; null when nothing has failed and the try does not count.
   */
  again(claim: Claim, delayMs: number, error: string | null): Promise<void>;
  /** Puts work on the list of the dead; does nothing when it is no longer held. */
  bury(claim: Claim, error: string): Promise<void>;
  /**
   * Runs `act` and marks the work as done, both in one commit or neither.
   *
   * @throws ClaimLost when the work is no longer held: then nothing of it has happened.
   */
  transact<Result>(claim: Claim, act: (transaction: Transaction) => Promise<Result>): Promise<Result>;
  /** All events of a session, in the order of their arrival. */
  session(session: string): Promise<StoredEvent[]>;
  /** Marks a look as done and adds the event, with a handler to run, unless the session has it already; one commit. */
  join(claim: Claim, event: NewEvent): Promise<void>;
  /** The dead, oldest first. */
  dead(limit: number): Promise<DeadEvent[]>;
  /** Makes a dead one due now, with all its attempts before it. Answers whether there was one with this id. */
  revive(id: string): Promise<boolean>;
  /** Forgets events that are older and have no work left. A delivery of such an event would count as new. Answers how many. */
  forget(olderThanMs: number): Promise<number>;
}

/** The work was given to somebody else meanwhile, or is done. Nothing was written. */
export class ClaimLost extends Error {
  override readonly name = "ClaimLost";
  constructor(claim: Pick<Claim, "session" | "event">) {
    super(
      `the work for ${claim.event} of session ${claim.session} is no longer held by this process, so nothing of its transaction was written`,
    );
  }
}

/** Thrown by a handler that will not succeed at another time either: the event goes to the list of the dead at once. */
export class GiveUp extends Error {
  override readonly name = "GiveUp";
}
