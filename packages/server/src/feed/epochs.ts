import type pg from "pg";
import { Refusal } from "../refusal.ts";
import { type Horizon, startedSql } from "./horizon.ts";
import type { FeedCursor, FeedPosition } from "./position.ts";

// An epoch is what one PostgreSQL writes from its start to its end (migration 0022, ADR 0050). Numbers of transactions grow
// within it. After a failover or a restore the next epoch gives numbers again that the epoch before had given for what is
// lost: `fork` says from which number on events are of the later epoch.

const forkSql = `
  SELECT ${startedSql} AS started, known.epoch AS known,
    (SELECT min(fork) FROM feed_epochs WHERE epoch > coalesce(known.epoch, 0)) AS fork
  FROM (SELECT) AS one LEFT JOIN feed_epochs AS known
    ON known.started_at = timestamptz 'epoch' + $1::bigint * interval '1 microsecond'`;

/**
 * Where a reader goes on: at its cursor, or at the fork when PostgreSQLs of after the cursor's have written from an earlier
 * number on. Then what was read before the failover may come again, and nothing is left out.
 *
 * @returns null when another PostgreSQL answered than the one of the horizon.
 * @throws Refusal cursor_gone when the database does not know the cursor's epoch, or ends before the cursor.
 */
export async function placeOf(
  pool: pg.Pool,
  horizon: Horizon,
  projectId: string,
  cursor: FeedCursor,
): Promise<FeedPosition | null> {
  const writes = horizon.epoch === horizon.started;
  if (cursor.epoch === null || (writes && cursor.epoch === horizon.epoch)) {
    if (isAhead(cursor, horizon)) throw await gone(pool, projectId, cursor, "is ahead of this database");
    if (cursor.epoch !== null) return cursor;
  }
  const { rows } = await pool.query<{ started: number; known: number | null; fork: number | null }>({
    name: "feed-fork",
    text: forkSql,
    values: [cursor.epoch],
  });
  const found = rows[0] as { started: number; known: number | null; fork: number | null };
  if (found.started !== horizon.started) return null;
  if (cursor.epoch !== null && found.known === null) {
    throw await gone(pool, projectId, cursor, "is of a PostgreSQL whose changes this database does not have");
  }
  // One that has written no event yet will begin with a number that no transaction of now is below.
  const forks = [found.fork ?? Number.POSITIVE_INFINITY, writes ? Number.POSITIVE_INFINITY : horizon.before];
  const fork = Math.min(...forks);
  return cursor.transaction < fork ? cursor : { transaction: fork, eventId: 0 };
}

/** The next transaction has written nothing yet, so nothing can have been read of it. */
const isAhead = ({ transaction, eventId }: FeedCursor, { next }: Horizon): boolean =>
  transaction > next || (transaction === next && eventId > 0);

// The cursor's own epoch began to write after its start. So what was written since the cursor's changes were lost is of
// an epoch that began after that start, and the last event from before all of these is one that the reader has had.
const momentSql = `
  SELECT emitted_at AS moment FROM events
  WHERE project_id = $1 AND transaction_number < (
    SELECT fork FROM feed_epochs
    WHERE began_at > timestamptz 'epoch' + $2::bigint * interval '1 microsecond' ORDER BY epoch LIMIT 1)
  ORDER BY transaction_number DESC, event_id DESC LIMIT 1`;

/** The refusal of a cursor, with the moment to go on from. */
async function gone(pool: pg.Pool, projectId: string, cursor: FeedCursor, why: string): Promise<Refusal> {
  const { rows } = await pool.query<{ moment: Date }>(momentSql, [projectId, cursor.epoch ?? 0]);
  const from = rows[0]?.moment.toISOString();
  const begin = from === undefined ? "without cursor, with the oldest event" : `with from=${from}`;
  return new Refusal(
    "cursor_gone",
    `The cursor ${why}: a standby took over, or a backup was restored. Begin ${begin}; what you have had may come again.`,
    {
      details: [
        { path: "cursor", message: "expected a cursor of this database" },
        ...(from === undefined ? [] : [{ path: "from", message: from }]),
      ],
    },
  );
}
