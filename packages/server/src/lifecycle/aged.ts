import type pg from "pg";
import { sessionFacetSql } from "../database/facets.ts";
import { inTransaction } from "../database/transaction.ts";

/** A session that may be past its age, and where its audio is. */
interface AgedSession {
  readonly sessionKey: number;
  readonly objectKey: string | null;
  /** Whether it may go: it is over, everything of it is old, and nothing of it is owed. */
  readonly removable: boolean;
}

/** How far a round has come: behind a session of a project's facet (database/facets.ts), in the order of creation. */
export interface AgedPlace {
  readonly projectId: string;
  readonly facet: string;
  /** As PostgreSQL writes it: a Date would lose microseconds. */
  readonly createdAt: string;
  readonly sessionKey: number;
}

/** Before every session. */
export const agedBeginning: AgedPlace = {
  projectId: "00000000-0000-0000-0000-000000000000",
  facet: "",
  createdAt: "-infinity",
  sessionKey: 0,
};

/** Whether something of a session is owed, by the index on events of `deliveries`: the one on sessions has lanes alone. */
const owedSql = (session: string): string => `
  (SELECT true FROM events JOIN LATERAL (
     SELECT FROM deliveries WHERE deliveries.event_id = events.event_id LIMIT 1) AS owed ON true
   WHERE events.session_key = ${session} LIMIT 1) IS NOT NULL`;

// By the index of the lists, from its old end: of each project and facet the sessions in the order of their creation,
// whatever their keys are. An index of its own every session would have to pay for. What is not removable stays and is
// looked at again in the next round; open sessions end within hours, so there are few. Projects and facets that have
// nothing are passed by with two looks at the index each, and have one row, so that the next statement goes on behind
// them. Subqueries for one value, as joins might be made by going through all that is owed.
const agedSql = `
  WITH RECURSIVE groups AS (
    SELECT $1::uuid AS project_id, $2::text AS facet, $3::timestamptz AS created_at, $4::bigint AS session_key
    UNION ALL
    SELECT next.project_id, next.facet, '-infinity', 0
    FROM groups CROSS JOIN LATERAL (
      SELECT project_id, ${sessionFacetSql} AS facet FROM sessions
      WHERE version > 0 AND (project_id, (${sessionFacetSql})) > (groups.project_id, groups.facet)
      ORDER BY project_id, (${sessionFacetSql}) LIMIT 1) AS next
  )
  SELECT groups.project_id AS "projectId", groups.facet, aged.created_at::text AS "createdAt",
    aged.session_key AS "sessionKey",
    coalesce(aged.recording_object_key, aged.recording_to_remove) AS "objectKey",
    coalesce(coalesce(aged.erased_at, aged.finalized_at) < $5, false)
      AND (SELECT true FROM events
           WHERE events.session_key = aged.session_key AND events.emitted_at >= $5 LIMIT 1) IS NULL
      AND NOT ${owedSql("aged.session_key")} AS removable
  FROM (SELECT * FROM groups LIMIT $6) AS groups LEFT JOIN LATERAL (
    SELECT session_key, created_at, finalized_at, erased_at, recording_object_key, recording_to_remove FROM sessions
    WHERE version > 0 AND project_id = groups.project_id AND (${sessionFacetSql}) = groups.facet AND created_at < $5
      AND (created_at, session_key) > (groups.created_at, groups.session_key)
    ORDER BY created_at, session_key LIMIT $6) AS aged ON true
  LIMIT $6`;

interface Row extends AgedSession {
  readonly projectId: string;
  readonly facet: string;
  /** null, as the session's key: the project has no more of this facet. */
  readonly createdAt: string | null;
}

/** Sessions that were created before a moment. */
export interface AgedSessions {
  readonly sessions: AgedSession[];
  /** Where the next ones are; null: there are none. */
  readonly next: AgedPlace | null;
}

/**
 * Sessions behind a place that were created before a moment.
 *
 * @param limit of the sessions, and of the projects and facets that are looked at.
 */
export async function agedSessions(
  pool: pg.Pool,
  { projectId, facet, createdAt, sessionKey }: AgedPlace,
  before: Date,
  limit: number,
): Promise<AgedSessions> {
  const values = [projectId, facet, createdAt, sessionKey, before, limit];
  const { rows } = await pool.query<Row>(agedSql, values);
  const last = rows.at(-1);
  const sessions = rows.filter((row) => row.createdAt !== null);
  if (last === undefined || rows.length < limit) return { sessions, next: null };
  const place = { projectId: last.projectId, facet: last.facet };
  const next =
    last.createdAt === null
      ? { ...place, createdAt: "infinity", sessionKey: 0 }
      : { ...place, createdAt: last.createdAt, sessionKey: last.sessionKey };
  return { sessions, next };
}

// A resend holds the event that it owes again (outbox/resend.ts). So after this none is under way, and the next statement
// sees what those before have owed; without it a delivery could be left whose event is gone.
const holdSql = "SELECT FROM events WHERE session_key = ANY ($1) ORDER BY event_id FOR UPDATE";

// What a report or a resend has changed since it was found removable is looked at once more, under the row's lock.
const removeSql = `
  WITH aged AS (
    SELECT session_key, project_id, session_id FROM sessions
    WHERE session_key = ANY ($1) AND coalesce(erased_at, finalized_at) < $2 AND NOT ${owedSql("sessions.session_key")}
    ORDER BY session_key FOR UPDATE SKIP LOCKED
  ), gone_events AS (
    DELETE FROM events WHERE session_key = ANY (array(SELECT session_key FROM aged)) RETURNING 1
  ), gone_recordings AS (
    DELETE FROM recordings USING aged
    WHERE recordings.project_id = aged.project_id AND recordings.session_id = aged.session_id
  ), gone AS (
    DELETE FROM sessions WHERE session_key = ANY (array(SELECT session_key FROM aged)) RETURNING 1
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
