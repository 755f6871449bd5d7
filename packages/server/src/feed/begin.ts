import type pg from "pg";
import type { Horizon } from "./horizon.ts";
import { beginning, type FeedCursor, type FeedPosition } from "./position.ts";

/** Behind all that is there at this moment; what is being committed comes after it. */
export const positionOfNow = (horizon: Horizon): FeedCursor => ({
  transaction: horizon.before,
  eventId: 0,
  epoch: horizon.epoch,
});

/**
 * The moment of emission is taken a little before the transaction begins, so it does not quite grow along the feed. An
 * event is committed within 20 s of it (a statement's time limit), or not at all; a minute is more than that.
 */
const slackMs = 60_000;

interface Place extends FeedPosition {
  readonly emittedAt: Date;
}

const firstFrom = `
  SELECT transaction_number AS transaction, event_id AS "eventId", emitted_at AS "emittedAt" FROM events
  WHERE project_id = $1 AND transaction_number >= $2 ORDER BY transaction_number, event_id LIMIT 1`;
const latest = `
  SELECT transaction_number AS transaction, event_id AS "eventId", emitted_at AS "emittedAt" FROM events
  WHERE project_id = $1 ORDER BY transaction_number DESC, event_id DESC LIMIT 1`;
const firstEmitted = `
  SELECT transaction_number AS transaction, event_id AS "eventId", emitted_at AS "emittedAt" FROM events
  WHERE project_id = $1 AND transaction_number >= $2 AND transaction_number < $3 AND emitted_at >= $4
  ORDER BY transaction_number, event_id LIMIT 1`;

/**
 * The position right before a project's first event that was emitted at a moment or later: no event of that moment or
 * later comes before it. Found by halves over the feed's index: the first of a moment by an index on times need not be the
 * first in the order of the feed.
 */
export async function positionOfMoment(
  pool: pg.Pool,
  horizon: Horizon,
  projectId: string,
  moment: Date,
): Promise<FeedCursor> {
  const one = async (sql: string, ...values: unknown[]): Promise<Place | undefined> =>
    (await pool.query<Place>(sql, [projectId, ...values])).rows[0];
  const last = await one(latest);
  if (last === undefined) return positionOfNow(horizon);
  const early = new Date(moment.getTime() - slackMs);
  // Between these: the first transaction number whose event was emitted after `early`.
  let low = beginning.transaction;
  let high = last.transaction;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const place = await one(firstFrom, middle);
    if (place === undefined || place.emittedAt >= early) high = middle;
    else low = place.transaction + 1;
  }
  const found = await one(firstEmitted, low, horizon.before, moment);
  return found === undefined
    ? positionOfNow(horizon)
    : { transaction: found.transaction, eventId: found.eventId - 1, epoch: horizon.epoch };
}
