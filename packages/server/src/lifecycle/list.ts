import type { SessionsQuery } from "@sendoff/contract";
import type pg from "pg";
import { decodeCursor, encodeCursor } from "../database/cursor.ts";
import { Filters } from "../database/filters.ts";
import { type SessionAnswer, viewSession } from "./read.ts";
import { sessionColumns, sessionOf } from "./store.ts";

const columns = sessionColumns.map(({ name }) => name).join(", ");

/** A page of sessions, newest first, and where the next one begins. */
export interface SessionsPage {
  readonly sessions: SessionAnswer[];
  readonly nextCursor: string | null;
  /** Only when pages were asked for by number. */
  readonly pagination?: { readonly page: number; readonly totalPages: number; readonly total: number };
}

/** Lists a project's sessions, newest first. */
export async function listSessions(
  pool: pg.Pool,
  projectId: string,
  query: SessionsQuery,
): Promise<SessionsPage> {
  const filters = new Filters()
    // The condition of the index by time (migration 0015), which holds for every row.
    .add("project_id = ? AND version > 0", projectId)
    .add("channel = ?", query.channel)
    .add("call_status = ?", query.callStatus)
    .add("state = ?", query.state)
    .add("created_at >= ?", query.from)
    .add("created_at < ?", query.to)
    .add("(position(? in session_id) > 0 OR position(? in extracted_variables) > 0)", query.text);
  const numbered = query.page !== undefined || query.pageSize !== undefined;
  return numbered ? numberedPage(pool, filters, query) : cursorPage(pool, filters, query);
}

async function cursorPage(pool: pg.Pool, filters: Filters, query: SessionsQuery): Promise<SessionsPage> {
  if (query.cursor !== undefined) {
    const [microseconds, key] = decodeCursor(query.cursor, [/^\d{1,16}$/, /^\d{1,18}$/]);
    filters.add(
      `(created_at, session_key) <
         (timestamptz 'epoch' + ?::bigint * interval '1 microsecond', ${filters.parameter(key)}::bigint)`,
      microseconds,
    );
  }
  const { rows } = await pool.query<Record<string, unknown>>(
    `SELECT session_key, (extract(epoch FROM created_at) * 1000000)::bigint AS place, ${columns}
     FROM sessions ${filters.where}
     ORDER BY created_at DESC, session_key DESC LIMIT ${filters.parameter(query.limit + 1)}`,
    filters.values,
  );
  const page = rows.slice(0, query.limit);
  const last = page.at(-1);
  const more = rows.length > query.limit && last !== undefined;
  return {
    sessions: page.map((row) => viewSession(sessionOf(row))),
    nextCursor: more ? encodeCursor([last.place as number, last.session_key as number]) : null,
  };
}

async function numberedPage(pool: pg.Pool, filters: Filters, query: SessionsQuery): Promise<SessionsPage> {
  const page = query.page ?? 1;
  const pageSize = query.pageSize ?? query.limit;
  const counted = await pool.query<{ total: number }>(
    `SELECT count(*) AS total FROM sessions ${filters.where}`,
    filters.values,
  );
  const total = counted.rows[0]?.total ?? 0;
  const { rows } = await pool.query<Record<string, unknown>>(
    `SELECT ${columns} FROM sessions ${filters.where} ORDER BY created_at DESC, session_key DESC
     LIMIT ${filters.parameter(pageSize)} OFFSET ${filters.parameter((page - 1) * pageSize)}`,
    filters.values,
  );
  return {
    sessions: rows.map((row) => viewSession(sessionOf(row))),
    nextCursor: null,
    pagination: { page, totalPages: Math.ceil(total / pageSize), total },
  };
}
