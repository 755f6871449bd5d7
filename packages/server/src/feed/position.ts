import { decodeCursor, encodeCursor } from "../database/cursor.ts";

/** A place in the feed: right behind the event of this number and id. Events come in the order of both. */
export interface FeedPosition {
  /** `events.transaction_number`. */
  readonly transaction: number;
  readonly eventId: number;
}

/** Before every event. */
export const beginning: FeedPosition = { transaction: 0, eventId: 0 };

/** The opaque text of a position, for clients: `nextCursor`, the `id` of an event, `Last-Event-ID`. */
export const cursorOf = ({ transaction, eventId }: FeedPosition): string =>
  encodeCursor([transaction, eventId]);

/** @throws Refusal invalid_query when it is not a cursor of the feed. */
export function positionOf(cursor: string): FeedPosition {
  const [transaction, eventId] = decodeCursor(cursor, [/^\d{1,16}$/, /^\d{1,16}$/]);
  return { transaction: Number(transaction), eventId: Number(eventId) };
}
