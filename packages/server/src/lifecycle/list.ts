import type { SessionsQuery } from "@sendoff/contract";
import type pg from "pg";
import { decodeCursor, encodeCursor } from "../database/cursor.ts";
import { sessionFacetSql, sessionFacets } from "../database/facets.ts";
import { audioOf, audioSql, type SessionAnswer, viewSession } from "./read.ts";
import { sessionColumns, sessionOf } from "./store.ts";

/** Filters of a list of sessions. */
export type SessionFilters = Pick<SessionsQuery, "channel" | "callStatus" | "state" | "from" | "to" | "text">;

/** Behind which session a page begins: its creation in microseconds since 1970, and its key. */
type Place = readonly [microseconds: number | string, key: number | string];

/** A page of sessions, newest first, and where the next one begins. */
export interface SessionsPage {
  readonly sessions: SessionAnswer[];
  readonly nextCursor: string | null;
  /** Only when pages were asked for by number. */
  readonly pagination?: { readonly page: number; readonly totalPages: number; readonly total: number };
  /** Only with text: when the search has ended before the page was full, the time that it came to. */
  readonly searchedBackTo?: string | null;
}

type Row = Record<string, unknown> & { readonly session_key: number; readonly place: number };

const columns = sessionColumns.map(({ name }) => name).join(", ");
const listed = `session_key, (extract(epoch FROM created_at) * 1000000)::bigint AS place, ${columns}, ${audioSql}`;

/** How long one request searches for a text, in milliseconds, and after how many sessions it looks at the clock. */
const searchMs = 150;
const searchStep = 1_000;

/** Lists a project's sessions, newest first. */
export async function listSessions(
  pool: pg.Pool,
  projectId: string,
  query: SessionsQuery,
): Promise<SessionsPage> {
  if (query.page !== undefined || query.pageSize !== undefined) return numberedPage(pool, projectId, query);
  const after = query.cursor === undefined ? null : decodeCursor(query.cursor, [/^\d{1,16}$/, /^\d{1,18}$/]);
  const place = after as Place | null;
  return query.text === undefined
    ? cursorPage(pool, projectId, query, place)
    : searchedPage(pool, projectId, query, query.text, place);
}

/**
 * The statement that lists sessions in order: of each facet that fits, the index from the newest on, merged while it is
 * read. A condition on facets in one scan (`= ANY`) would sort all that fit; a condition without them reads all that do
 * not fit.
 *
 * @param most how many are wanted of it; null: all.
 */
function merged(
  projectId: string,
  filters: SessionFilters,
  after: Place | null,
  most: number | null,
): { readonly sql: string; readonly values: unknown[] } {
  const values: unknown[] = [projectId];
  const parameter = (value: unknown): string => `$${values.push(value)}`;
  const conditions = ["project_id = $1 AND version > 0"];
  if (filters.from !== undefined) conditions.push(`created_at >= ${parameter(filters.from)}`);
  if (filters.to !== undefined) conditions.push(`created_at < ${parameter(filters.to)}`);
  if (after !== null) {
    conditions.push(
      `(created_at, session_key) < (timestamptz 'epoch' + ${parameter(after[0])}::bigint * interval '1 microsecond',
         ${parameter(after[1])}::bigint)`,
    );
  }
  const where = conditions.join(" AND ");
  const order = "ORDER BY created_at DESC, session_key DESC";
  const ordered = `${order}${most === null ? "" : ` LIMIT ${most}`}`;
  const scans = sessionFacets(filters).map(
    (facet) =>
      `(SELECT * FROM sessions WHERE ${where} AND (${sessionFacetSql}) = ${parameter(facet)} ${ordered})`,
  );
  const none = "SELECT * FROM sessions WHERE project_id = $1 AND false";
  return { sql: `(${scans.length === 0 ? none : scans.join(" UNION ALL ")}) AS sessions ${order}`, values };
}

async function rowsOf(
  pool: pg.Pool,
  projectId: string,
  filters: SessionFilters,
  after: Place | null,
  limit: number,
): Promise<Row[]> {
  const { sql, values } = merged(projectId, filters, after, limit);
  const { rows } = await pool.query<Row>(`SELECT ${listed} FROM ${sql} LIMIT ${limit}`, values);
  return rows;
}

const placeOf = (row: Row): Place => [row.place, row.session_key];
const view = (row: Row): SessionAnswer => viewSession(sessionOf(row), audioOf(row));

async function cursorPage(
  pool: pg.Pool,
  projectId: string,
  query: SessionsQuery,
  after: Place | null,
): Promise<SessionsPage> {
  const rows = await rowsOf(pool, projectId, query, after, query.limit + 1);
  const page = rows.slice(0, query.limit);
  const last = page.at(-1);
  const more = rows.length > query.limit && last !== undefined;
  return { sessions: page.map(view), nextCursor: more ? encodeCursor(placeOf(last)) : null };
}

/**
 * Sessions with a text. One of exactly this id comes first. There is no index for the rest: it would be written with every
 * report. So the sessions are read from the newest on, for a while, and the page says how far that came.
 */
async function searchedPage(
  pool: pg.Pool,
  projectId: string,
  query: SessionsQuery,
  text: string,
  from: Place | null,
): Promise<SessionsPage> {
  const found = from === null ? await exactly(pool, projectId, query, text) : [];
  const endMs = performance.now() + searchMs;
  let after = from;
  for (;;) {
    const { rows, examined, last } = await searchStepOf(pool, projectId, query, text, after, query.limit + 1);
    found.push(...rows);
    if (found.length > query.limit) {
      const page = found.slice(0, query.limit);
      // With only the one of this id on it, a page goes on where it began.
      const next = page.at(-1) as Row;
      const place = next.session_id === text ? after : placeOf(next);
      return {
        sessions: page.map(view),
        nextCursor: encodeCursor(place ?? [beyondAll, 0]),
        searchedBackTo: null,
      };
    }
    if (examined < searchStep || last === null)
      return { sessions: found.map(view), nextCursor: null, searchedBackTo: null };
    after = placeOf(last);
    if (performance.now() > endMs) {
      const searchedBackTo = new Date(last.place / 1_000).toISOString();
      return { sessions: found.map(view), nextCursor: encodeCursor(after), searchedBackTo };
    }
  }
}

/** A moment after every session's, in microseconds: the year 2255. */
const beyondAll = 9_000_000_000_000_000;

async function exactly(
  pool: pg.Pool,
  projectId: string,
  filters: SessionFilters,
  sessionId: string,
): Promise<Row[]> {
  const { rows } = await pool.query<Row>(
    `SELECT ${listed} FROM sessions
     WHERE project_id = $1 AND session_id = $2 AND channel IS NOT DISTINCT FROM coalesce($3, channel)
       AND call_status IS NOT DISTINCT FROM coalesce($4, call_status) AND state = coalesce($5, state)
       AND created_at >= coalesce($6, '-infinity'::timestamptz) AND created_at < coalesce($7, 'infinity'::timestamptz)`,
    [projectId, sessionId, filters.channel, filters.callStatus, filters.state, filters.from, filters.to],
  );
  return rows;
}

interface SearchStep {
  readonly rows: Row[];
  readonly examined: number;
  /** The last that was looked at. */
  readonly last: Row | null;
}

/** Looks at the next sessions for a text. Of one that was erased nothing but the id is left to be found. */
async function searchStepOf(
  pool: pg.Pool,
  projectId: string,
  filters: SessionFilters,
  text: string,
  after: Place | null,
  limit: number,
): Promise<SearchStep> {
  const { sql, values } = merged(projectId, filters, after, searchStep);
  const sought = `$${values.push(text)}`;
  const { rows } = await pool.query<Row & { examined: number; fits: boolean }>(
    `WITH examined AS MATERIALIZED (
       SELECT session_key, created_at, session_id <> ${sought} AND (position(${sought} in session_id) > 0
           OR position(${sought} in extracted_variables) > 0) AS fits
       FROM ${sql} LIMIT ${searchStep}
     ), wanted AS (
       (SELECT * FROM examined WHERE fits ORDER BY created_at DESC, session_key DESC LIMIT ${limit})
       UNION (SELECT * FROM examined ORDER BY created_at, session_key LIMIT 1)
     )
     SELECT fits, (SELECT count(*) FROM examined) AS examined, sessions.*
     FROM wanted CROSS JOIN LATERAL (
       SELECT ${listed} FROM sessions WHERE sessions.session_key = wanted.session_key) AS sessions
     ORDER BY wanted.created_at DESC, wanted.session_key DESC`,
    values,
  );
  return {
    rows: rows.filter(({ fits }) => fits),
    examined: rows[0]?.examined ?? 0,
    last: rows.at(-1) ?? null,
  };
}

async function numberedPage(pool: pg.Pool, projectId: string, query: SessionsQuery): Promise<SessionsPage> {
  const page = query.page ?? 1;
  const pageSize = query.pageSize ?? query.limit;
  const { sql, values } = merged(projectId, query, null, null);
  const text = query.text === undefined ? null : `$${values.push(query.text)}`;
  const fits =
    text === null
      ? ""
      : `WHERE position(${text} in session_id) > 0 OR position(${text} in extracted_variables) > 0`;
  const counted = await pool.query<{ total: number }>(
    `SELECT count(*) AS total FROM (SELECT session_id, extracted_variables FROM ${sql}) AS listed ${fits}`,
    values,
  );
  const total = counted.rows[0]?.total ?? 0;
  const { rows } = await pool.query<Row>(
    `SELECT * FROM (SELECT ${listed} FROM ${sql}) AS listed ${fits} LIMIT ${pageSize} OFFSET ${(page - 1) * pageSize}`,
    values,
  );
  return {
    sessions: rows.map(view),
    nextCursor: null,
    pagination: { page, totalPages: Math.ceil(total / pageSize), total },
  };
}

/** Sessions of the filters, newest first, some at a time, for as long as they are asked for. */
export async function* everySession(
  pool: pg.Pool,
  projectId: string,
  filters: SessionFilters,
): AsyncGenerator<SessionAnswer[]> {
  let cursor: string | undefined;
  do {
    const query = { ...filters, limit: exportStep, cursor };
    const page = await listSessions(pool, projectId, query);
    yield page.sessions;
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
}

/** Sessions that an export reads at once. */
const exportStep = 500;
