import type pg from "pg";

/** What a session was before it was erased. */
export interface ErasedSession {
  readonly sessionKey: number;
  readonly erasedAt: Date;
  /** It was erased by an earlier call. */
  readonly before: boolean;
  /** There were variables: given at creation or extracted. */
  readonly variables: boolean;
  readonly lateFacts: boolean;
}

// The version grows, so that a report that was decided on the session as it was loses its compare-and-set (apply.ts),
// is decided again, and refused. An erased session waits for nothing: it has no deadline.
const eraseSql = `
  WITH before AS (
    SELECT * FROM sessions WHERE project_id = $1 AND session_id = $2 FOR UPDATE
  ), erased AS (
    UPDATE sessions
    SET version = sessions.version + 1, erased_at = clock_timestamp(), deadline_at = NULL,
      variables = NULL, extracted_variables = '{}', start_node_id = NULL, current_node_id = '',
      late_conversation = NULL, late_call = NULL,
      recording_to_remove = sessions.recording_object_key, recording_object_key = NULL, recording_error = NULL
    FROM before WHERE sessions.session_key = before.session_key AND before.erased_at IS NULL
    RETURNING sessions.session_key, sessions.erased_at
  )
  SELECT before.session_key AS "sessionKey", coalesce(erased.erased_at, before.erased_at) AS "erasedAt",
    before.erased_at IS NOT NULL AS before,
    erased.session_key IS NOT NULL AND (before.variables IS NOT NULL OR before.extracted_variables <> '{}') AS variables,
    erased.session_key IS NOT NULL AND (before.late_conversation IS NOT NULL OR before.late_call IS NOT NULL)
      AS "lateFacts"
  FROM before LEFT JOIN erased USING (session_key)`;

/**
 * Empties a session's row and holds it until the transaction ends; null when there is no such session. Its id, channel,
 * statuses, durations, counts and times stay.
 */
export async function eraseSession(
  client: pg.ClientBase,
  projectId: string,
  sessionId: string,
): Promise<ErasedSession | null> {
  const { rows } = await client.query<ErasedSession>(eraseSql, [projectId, sessionId]);
  return rows[0] ?? null;
}

/** Erased sessions whose audio is still to be removed, at most 100; of one session, or of any. */
export async function recordingsToRemove(
  pool: pg.Pool,
  sessionKey: number | null,
): Promise<Array<{ sessionKey: number; objectKey: string }>> {
  const { rows } = await pool.query<{ sessionKey: number; objectKey: string }>(
    `SELECT session_key AS "sessionKey", recording_to_remove AS "objectKey" FROM sessions
     WHERE recording_to_remove IS NOT NULL AND ($1::bigint IS NULL OR session_key = $1)
     ORDER BY session_key LIMIT 100`,
    [sessionKey],
  );
  return rows;
}

/** Notes that the audio is gone. */
export async function recordingRemoved(pool: pg.Pool, sessionKey: number): Promise<void> {
  await pool.query("UPDATE sessions SET recording_to_remove = NULL WHERE session_key = $1", [sessionKey]);
}
