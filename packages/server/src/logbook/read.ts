import type { WebhookLog, WebhookLogDetail } from "@sendoff/contract";
import { withRecordingUrl } from "@sendoff/contract";
import type pg from "pg";

/** A row of `webhook_logs` as a list has it. */
export interface LogRow extends Omit<WebhookLog, "id" | "attemptedAt"> {
  readonly id: number;
  readonly attemptedAt: Date;
}

/** Columns of a {@link LogRow}. */
export const logRowColumns = `webhook_logs.log_id AS id, webhook_logs.project_id AS "projectId",
  webhook_logs.session_id AS "sessionId", webhook_logs.event, webhook_logs.webhook_id AS "webhookId",
  endpoint_id AS "endpointId", url, attempt, trigger, outcome, error_code AS "errorCode",
  failed_step AS "failedStep", response_status AS "responseStatus", duration_ms AS "durationMs",
  attempted_at AS "attemptedAt", settled_as AS "settledAs"`;

/** A row as it is answered. */
export const viewLog = (row: LogRow): WebhookLog => ({
  ...row,
  id: String(row.id),
  attemptedAt: row.attemptedAt.toISOString(),
});

/** An attempt but for its request's headers, which nobody keeps. */
export type StoredLog = Omit<WebhookLogDetail, "requestHeaders">;

/** One attempt with what was sent and what came back, or null. */
export async function readLog(pool: pg.Pool, projectId: string, logId: string): Promise<StoredLog | null> {
  if (!/^\d{1,18}$/.test(logId)) return null;
  const { rows } = await pool.query<
    LogRow & { payload: string | null; recordingUrl: string | null; responseBody: Buffer | null }
  >(
    `SELECT ${logRowColumns}, coalesce(events.payload, test_events.payload) AS payload, recording_url AS "recordingUrl", response_body AS "responseBody"
     FROM webhook_logs LEFT JOIN events ON events.event_id = webhook_logs.event_id
     LEFT JOIN test_events ON test_events.event_id = webhook_logs.event_id
     WHERE log_id = $1 AND webhook_logs.project_id = $2`,
    [logId, projectId],
  );
  const row = rows[0];
  if (row === undefined) return null;
  const { payload, recordingUrl, responseBody, ...log } = row;
  const requestBody =
    payload !== null && recordingUrl !== null ? withRecordingUrl(payload, recordingUrl) : payload;
  const { attemptedAt, durationMs } = log;
  return {
    ...viewLog(log),
    requestBody,
    requestBytes: requestBody === null ? null : Buffer.byteLength(requestBody),
    responseBody: responseBody === null ? null : responseBody.toString("utf8"),
    responseBytes: responseBody === null ? null : responseBody.length,
    finishedAt: durationMs === null ? null : new Date(attemptedAt.getTime() + durationMs).toISOString(),
  };
}

/** The id of the latest attempt of a session's key, or null. For a test, which has a key of its own. */
export async function logOfSession(pool: pg.Pool, sessionKey: number): Promise<string | null> {
  const { rows } = await pool.query<{ id: number }>({
    name: "log-of-session",
    text: `SELECT log_id AS id FROM webhook_logs
           WHERE session_key = $1 AND attempted_at > now() - interval '1 day' ORDER BY log_id DESC LIMIT 1`,
    values: [sessionKey],
  });
  return rows[0] === undefined ? null : String(rows[0].id);
}

/** Every attempt of a session, oldest first. */
export async function logsOfSession(client: pg.PoolClient, sessionKey: number): Promise<WebhookLog[]> {
  const { rows } = await client.query<LogRow>(
    `SELECT ${logRowColumns} FROM webhook_logs WHERE session_key = $1 ORDER BY log_id`,
    [sessionKey],
  );
  return rows.map(viewLog);
}
