import type pg from "pg";
import { inTransaction } from "../database/transaction.ts";

/** A session that may be past its age, and where its audio is. */
export interface AgedSession {
  readonly sessionKey: number;
  readonly objectKey: string | null;
  /** Whether it may go: it is over, everything of it is old, and nothing of it is owed. */
  readonly removable: boolean;
}

// Along the primary key, the oldest first: no index on times, which every session would have to pay for. What is not
// removable stays and is looked at again in the next round; open sessions end within hours, so there are few.
const agedSql = `
  SELECT sessions.session_key AS "sessionKey",
    coalesce(sessions.recording_object_key, sessions.recording_to_remove) AS "objectKey",
    coalesce(coalesce(sessions.erased_at, sessions.finalized_at) < $2, false)
      AND NOT EXISTS (SELECT FROM events
        WHERE events.session_key = sessions.session_key AND events.emitted_at >= $2)
      AND owed.session_key IS NULL AS removable
  FROM (SELECT * FROM sessions WHERE session_key > $1 ORDER BY session_key LIMIT $3) AS sessions
  LEFT JOIN (SELECT DISTINCT session_key FROM deliveries) AS owed ON owed.session_key = sessions.session_key
  WHERE sessions.created_at < $2
  ORDER BY sessions.session_key`;

/** Sessions behind a key that were created before a moment, oldest first. None: the rest is younger. */
export async function agedSessions(
  pool: pg.Pool,
  behindKey: number,
  before: Date,
  limit: number,
): Promise<AgedSession[]> {
  const { rows } = await pool.query<AgedSession>(agedSql, [behindKey, before, limit]);
  return rows;
}

// A resend holds the event that it owes again (outbox/resend.ts). So after this none is under way, and the next statement
// sees what those before have owed; without it a delivery could be left whose event is gone.
const holdSql = "SELECT FROM events WHERE session_key = ANY ($1) ORDER BY event_id FOR UPDATE";

// What a report or a resend has changed since it was found removable is looked at once more, under the row's lock.
const removeSql = `
  WITH aged AS (
    SELECT session_key, project_id, session_id FROM sessions
    WHERE session_key = ANY ($1) AND coalesce(erased_at, finalized_at) < $2
      AND NOT EXISTS (SELECT FROM deliveries WHERE deliveries.session_key = sessions.session_key)
    ORDER BY session_key FOR UPDATE SKIP LOCKED
  ), gone_events AS (
    DELETE FROM events USING aged WHERE events.session_key = aged.session_key RETURNING 1
  ), gone_recordings AS (
    DELETE FROM recordings USING aged
    WHERE recordings.project_id = aged.project_id AND recordings.session_id = aged.session_id
  ), gone AS (
    DELETE FROM sessions USING aged WHERE sessions.session_key = aged.session_key RETURNING 1
  )
  SELECT (SELECT count(*) FROM gone) AS sessions, (SELECT count(*) FROM gone_events) AS events`;

/** Removes sessions with their events in one commit. */
export function removeSessions(
  pool: pg.Pool,
  keys: readonly number[],
  before: Date,
): Promise<{ readonly sessions: number; readonly events: number }> {
  return inTransaction(pool, async (client) => {
    await client.query(holdSql, [keys]);
    const { rows } = await client.query<{ sessions: number; events: number }>(removeSql, [keys, before]);
    return rows[0] ?? { sessions: 0, events: 0 };
  });
}
