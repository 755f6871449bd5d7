import type pg from "pg";

/**
 * Removes what receivers answered to a session's attempts, and where its audio was. Outcomes stay.
 *
 * @returns how many answers there were.
 */
export async function eraseResponses(client: pg.ClientBase, sessionKey: number): Promise<number> {
  const { rows } = await client.query<{ responses: number }>(
    `WITH emptied AS (
       UPDATE webhook_logs SET response_body = NULL, recording_url = NULL
       FROM (SELECT log_id, attempted_at, response_body IS NOT NULL AS answered FROM webhook_logs
             WHERE session_key = $1 AND (response_body IS NOT NULL OR recording_url IS NOT NULL)) AS before
       WHERE webhook_logs.log_id = before.log_id AND webhook_logs.attempted_at = before.attempted_at
       RETURNING before.answered)
     SELECT count(*) FILTER (WHERE answered) AS responses FROM emptied`,
    [sessionKey],
  );
  return rows[0]?.responses ?? 0;
}
