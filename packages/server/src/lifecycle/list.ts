import type { SessionsQuery } from "@sendoff/contract";
import type pg from "pg";
import { decodeCursor, encodeCursor } from "../database/cursor.ts";
import {
  type ListedAnswer,
  listedOf,
  listShape,
  numberedShape,
  type PageShape,
  type Place,
  placeOf,
  readPage,
  wholeShape,
} from "./session-page.ts";
import { search } from "./session-search.ts";
import { mergedSessions, type SessionFilters } from "./sessions-in-order.ts";

/** A page of sessions, newest first, and where the next one begins. */
export interface SessionsPage {
  readonly sessions: ListedAnswer[];
  readonly nextCursor: string | null;
  /** Only when pages were asked for by number. */
  readonly pagination?: { readonly page: number; readonly totalPages: number; readonly total: number };
  /** Only with text: when the search has ended before the page was full, the time that it came to. */
  readonly searchedBackTo?: string | null;
}

/** Lists a project's sessions, newest first. */
export async function listSessions(
  pool: pg.Pool,
  projectId: string,
  query: SessionsQuery,
  shape: PageShape = listShape,
): Promise<SessionsPage> {
  if (query.page !== undefined || query.pageSize !== undefined) return numberedPage(pool, projectId, query);
  const after = query.cursor === undefined ? null : decodeCursor(query.cursor, [/^\d{1,16}$/, /^\d{1,18}$/]);
  const place = after as Place | null;
  return query.text === undefined
    ? cursorPage(pool, projectId, query, place, shape)
    : searchedPage(pool, projectId, query, query.text, place, shape);
}

async function cursorPage(
  pool: pg.Pool,
  projectId: string,
  query: SessionsQuery,
  after: Place | null,
  shape: PageShape,
): Promise<SessionsPage> {
  const limit = query.limit + 1;
  const { sql, values } = mergedSessions(projectId, query, after, limit);
  const rows = await readPage(pool, `SELECT * FROM ${sql} LIMIT ${limit}`, values, shape);
  const page = rows.slice(0, query.limit);
  const last = page.at(-1);
  const more = last !== undefined && last.candidates > page.length;
  return { sessions: page.map(listedOf), nextCursor: more ? encodeCursor(placeOf(last)) : null };
}

/** A moment after every session's, in microseconds: the year 2255. */
const beyondAll = 9_000_000_000_000_000;

async function searchedPage(
  pool: pg.Pool,
  projectId: string,
  query: SessionsQuery,
  text: string,
  from: Place | null,
  shape: PageShape,
): Promise<SessionsPage> {
  const found = await search(pool, projectId, query, text, from, query.limit + 1);
  const rows = await readPage(
    pool,
    "SELECT sessions.* FROM sessions WHERE project_id = $1 AND session_key = ANY ($2::bigint[])",
    [projectId, found.keys, text],
    shape,
    // One of exactly this id comes first.
    "session_id = $3 DESC, created_at DESC, session_key DESC",
  );
  const page = rows.slice(0, query.limit);
  const last = page.at(-1);
  if (found.keys.length > page.length && last !== undefined) {
    // With only the one of this id on it, a page goes on where it began.
    const place = last.session_id === text ? (from ?? [beyondAll, 0]) : placeOf(last);
    return { sessions: page.map(listedOf), nextCursor: encodeCursor(place), searchedBackTo: null };
  }
  const { searchedTo } = found;
  return {
    sessions: page.map(listedOf),
    nextCursor: searchedTo === null ? null : encodeCursor(searchedTo),
    searchedBackTo: searchedTo === null ? null : new Date(Number(searchedTo[0]) / 1_000).toISOString(),
  };
}

async function numberedPage(pool: pg.Pool, projectId: string, query: SessionsQuery): Promise<SessionsPage> {
  const page = query.page ?? 1;
  const pageSize = query.pageSize ?? query.limit;
  const { sql, values } = mergedSessions(projectId, query, null, null);
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
  const offset = (page - 1) * pageSize;
  const rows = await readPage(
    pool,
    `SELECT * FROM (SELECT * FROM ${sql}) AS listed ${fits} LIMIT ${pageSize} OFFSET ${offset}`,
    values,
    numberedShape,
  );
  return {
    sessions: rows.map(listedOf),
    nextCursor: null,
    pagination: { page, totalPages: Math.ceil(total / pageSize), total },
  };
}

/**
 * Sessions of the filters with all that they have, newest first, some at a time, for as long as they are asked for.
 *
 * @param read runs each read when there is a place for it.
 */
export async function* everySession(
  read: <Result>(work: (pool: pg.Pool) => Promise<Result>) => Promise<Result>,
  projectId: string,
  filters: SessionFilters,
): AsyncGenerator<ListedAnswer[]> {
  let cursor: string | undefined;
  do {
    const query = { ...filters, limit: exportStep, cursor };
    const page = await read((pool) => listSessions(pool, projectId, query, wholeShape));
    yield page.sessions;
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
}

/** Sessions that an export reads at once. */
const exportStep = 500;
