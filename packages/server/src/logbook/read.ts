import type { WebhookLog, WebhookLogDetail } from "@sendoff/contract";
import { withRecordingUrl } from "@sendoff/contract";
import type pg from "pg";
import { type Numbered, numberedSql, withinPageSql } from "../database/page-bytes.ts";

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

/** About what the names and the short fields of a row come to as JSON. */
const frameBytes = 700;

/** The rows of a statement that come to the bytes of a page, in the order that is named. */
export const logPageSql = (rows: string, order: string): string =>
  `SELECT * FROM ${numberedSql(rows, `${frameBytes} + octet_length(url) + octet_length("sessionId")`, order)} AS page
   WHERE ${withinPageSql} ORDER BY page_number`;

/** A row of {@link logPageSql}. */
export type PagedLogRow = LogRow & Numbered & { readonly page_number: number; readonly page_bytes: string };

/** A row of a page as it is answered. */
export function viewPagedLog(row: PagedLogRow): WebhookLog {
  const { candidates: _candidates, page_number: _number, page_bytes: _bytes, ...log } = row;
  return viewLog(log);
}

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

/** Attempts of a session, and whether there are more than these. */
export interface SessionLogs {
  readonly logs: WebhookLog[];
  readonly cut: boolean;
}

/** Most attempts of one session that are read at once. It has a few, unless somebody resends it again and again. */
const sessionLogsMax = 1_000;

/** The attempts of a session, oldest first; the newest of them when they are very many. */
export async function logsOfSession(client: pg.PoolClient, sessionKey: number): Promise<SessionLogs> {
  const { rows } = await client.query<PagedLogRow>(
    logPageSql(
      `SELECT ${logRowColumns} FROM webhook_logs WHERE session_key = $1 ORDER BY log_id DESC LIMIT ${sessionLogsMax + 1}`,
      "id DESC",
    ),
    [sessionKey],
  );
  const newest = rows.slice(0, sessionLogsMax);
  const cut = (rows[0]?.candidates ?? 0) > newest.length;
  return { logs: newest.reverse().map(viewPagedLog), cut };
}
