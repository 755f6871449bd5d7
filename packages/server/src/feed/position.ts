import { decodeCursor, encodeCursor } from "../database/cursor.ts";

/** A place in the feed: right behind the event of this number and id. Events come in the order of both. */
export interface FeedPosition {
  /** `events.transaction_number`. */
  readonly transaction: number;
  readonly eventId: number;
}

/** A place, and which PostgreSQL it was read from. */
export interface FeedCursor extends FeedPosition {
  /**
   * The epoch (epochs.ts): when its PostgreSQL was started, in microseconds since 1970. null: the cursor is of a version
   * of Sendoff that knew no epochs.
   */
  readonly epoch: number | null;
}

/** Before every event, of whatever epoch. */
export const beginning: FeedCursor = { transaction: 0, eventId: 0, epoch: null };

/** The opaque text of a place, for clients: `nextCursor`, the `id` of an event, `Last-Event-ID`. */
export const cursorOf = ({ transaction, eventId, epoch }: FeedCursor): string =>
  encodeCursor([transaction, eventId, ...(epoch === null ? [] : [epoch])]);

/** @throws Refusal invalid_query when it is not a cursor of the feed. */
export function positionOf(cursor: string): FeedCursor {
  const number = /^\d{1,16}$/;
  const [transaction, eventId, epoch] = decodeCursor(cursor, [number, number, /^\d{0,16}$/]);
  return {
    transaction: Number(transaction),
    eventId: Number(eventId),
    epoch: epoch === "" ? null : Number(epoch),
  };
}
