import type { WebhookLog, WebhookLogsQuery } from "@sendoff/contract";
import type pg from "pg";
import { decodeCursor, encodeCursor } from "../database/cursor.ts";
import { logFacetSql, logFacets } from "../database/facets.ts";
import { Filters } from "../database/filters.ts";
import { logPageSql, logRowColumns, type PagedLogRow, viewPagedLog } from "./read.ts";

/** A page of attempts, newest first, and where the next one begins. */
export interface LogsPage {
  readonly logs: WebhookLog[];
  readonly nextCursor: string | null;
}

type ListedRow = PagedLogRow & { readonly place: number };

/**
 * A page of a project's attempts, newest first. (`attempt >= 0` holds for every row: it is the condition of the index,
 * migration 0020.) Of each endpoint and each facet that fits, the index is read from the newest
 * on, and the newest of all these make the page: a filter that fits few rows reads no others.
 */
export async function listLogs(pool: pg.Pool, projectId: string, query: WebhookLogsQuery): Promise<LogsPage> {
  const rows =
    query.sessionId === undefined
      ? await rowsOfProject(pool, projectId, query)
      : await rowsOfSession(pool, projectId, query, query.sessionId);
  const page = rows.slice(0, query.limit);
  const last = page.at(-1);
  return {
    logs: page.map(({ place: _place, ...row }) => viewPagedLog(row)),
    nextCursor:
      last !== undefined && last.candidates > page.length ? encodeCursor([last.place, last.id]) : null,
  };
}

const listed = `${logRowColumns}, (extract(epoch FROM attempted_at) * 1000000)::bigint AS place`;
const newestFirst = "ORDER BY attempted_at DESC, log_id DESC";
const paged = (rows: string): string => logPageSql(rows, '"attemptedAt" DESC, id DESC');

/** Time, and what comes behind the cursor. */
function placed(filters: Filters, query: WebhookLogsQuery): Filters {
  filters.add("attempted_at >= ?", query.from).add("attempted_at < ?", query.to);
  if (query.cursor === undefined) return filters;
  const [microseconds, id] = decodeCursor(query.cursor, [/^\d{1,16}$/, /^\d{1,18}$/]);
  const moment = `timestamptz 'epoch' + ${filters.parameter(microseconds)}::bigint * interval '1 microsecond'`;
  // Said apart for the partitions: those behind the moment are not opened.
  return filters.add(`attempted_at <= ${moment} AND (attempted_at, log_id) < (${moment}, ?::bigint)`, id);
}

async function rowsOfProject(
  pool: pg.Pool,
  projectId: string,
  query: WebhookLogsQuery,
): Promise<ListedRow[]> {
  const endpoints = await endpointsWithLogs(pool, projectId, query.endpointId);
  const filters = placed(new Filters(), query)
    // A facet is a short form; that it fits is looked at once more.
    .add("event = ANY (?)", query.event)
    .add("outcome = ANY (?)", query.outcome);
  const endpointIds = filters.parameter(endpoints);
  const facets = filters.parameter(logFacets(query));
  const where = filters.where === "" ? "WHERE" : `${filters.where} AND`;
  const limit = filters.parameter(query.limit + 1);
  const { rows } = await pool.query<ListedRow>(
    paged(
      `SELECT ${listed} FROM unnest(${endpointIds}::uuid[]) AS of_endpoint CROSS JOIN unnest(${facets}::text[]) AS of_facet
     CROSS JOIN LATERAL (
       SELECT * FROM webhook_logs ${where} endpoint_id = of_endpoint AND (${logFacetSql}) = of_facet
         AND attempt >= 0
       ${newestFirst} LIMIT ${limit}) AS webhook_logs
     ${newestFirst} LIMIT ${limit}`,
    ),
    filters.values,
  );
  return rows;
}

/** The endpoints of a project of which there may be rows: all that are there, and those of the removed that have some. */
async function endpointsWithLogs(
  pool: pg.Pool,
  projectId: string,
  endpointId: string | undefined,
): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>(
    `SELECT endpoint_id AS id FROM endpoints
     WHERE project_id = $1 AND removed_at IS NULL AND endpoint_id = coalesce($2, endpoint_id)
     UNION ALL SELECT endpoint_id FROM endpoints
     WHERE project_id = $1 AND removed_at IS NOT NULL AND endpoint_id = coalesce($2, endpoint_id) AND EXISTS (
       SELECT FROM webhook_logs WHERE webhook_logs.endpoint_id = endpoints.endpoint_id AND attempt >= 0)`,
    [projectId, endpointId],
  );
  return rows.map(({ id }) => id);
}

/** A session has few attempts; all that fit are sorted. */
async function rowsOfSession(
  pool: pg.Pool,
  projectId: string,
  query: WebhookLogsQuery,
  sessionId: string,
): Promise<ListedRow[]> {
  // A test has no session: its key is that of its content.
  const keys = await pool.query<{ key: number }>(
    `SELECT session_key AS key FROM sessions WHERE project_id = $1 AND session_id = $2
     UNION ALL SELECT event_id FROM test_events WHERE project_id = $1 AND session_id = $2`,
    [projectId, sessionId],
  );
  const filters = placed(new Filters().add("project_id = ?", projectId), query)
    .add(
      "session_key = ANY (?::bigint[])",
      keys.rows.map(({ key }) => key),
    )
    .add("event = ANY (?)", query.event)
    .add("endpoint_id = ?", query.endpointId)
    .add("outcome = ANY (?)", query.outcome);
  const limit = filters.parameter(query.limit + 1);
  const { rows } = await pool.query<ListedRow>(
    paged(`SELECT ${listed} FROM webhook_logs ${filters.where} ${newestFirst} LIMIT ${limit}`),
    filters.values,
  );
  return rows;
}
