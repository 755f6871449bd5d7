import type pg from "pg";
import { newestFirst, type Place, placeOf, placeSql } from "./session-page.ts";
import { mergedSessions, type SessionFilters } from "./sessions-in-order.ts";

/** How long one request searches for a text, in milliseconds. */
const searchMs = 150;
/** After how many sessions, or bytes of variables, a search looks at the clock. */
const searchStep = 1_000;
const stepBytesMax = 8 * 1024 * 1024;

/** What a search has found. */
export interface Found {
  readonly keys: number[];
  /** Where the search ended for its time; null: it looked at all, or found as many as were wanted. */
  readonly searchedTo: Place | null;
}

/**
 * Looks for sessions with a text. One of exactly this id is found first. There is no index for the rest: it would be written
 * with every report. So the sessions are looked at from the newest on, for a while.
 */
export async function search(
  pool: pg.Pool,
  projectId: string,
  filters: SessionFilters,
  text: string,
  from: Place | null,
  most: number,
): Promise<Found> {
  const keys = from === null ? await exactly(pool, projectId, filters, text) : [];
  const endMs = performance.now() + searchMs;
  let after = from;
  while (keys.length < most) {
    const step = await searchStepOf(pool, projectId, filters, text, after, most);
    keys.push(...step.keys);
    if (step.last === null) return { keys, searchedTo: null };
    after = step.last;
    if (keys.length < most && performance.now() > endMs) return { keys, searchedTo: after };
  }
  return { keys, searchedTo: null };
}

async function exactly(
  pool: pg.Pool,
  projectId: string,
  filters: SessionFilters,
  sessionId: string,
): Promise<number[]> {
  const { rows } = await pool.query<{ key: number }>(
    `SELECT session_key AS key FROM sessions
     WHERE project_id = $1 AND session_id = $2 AND channel IS NOT DISTINCT FROM coalesce($3, channel)
       AND call_status IS NOT DISTINCT FROM coalesce($4, call_status) AND state = coalesce($5, state)
       AND created_at >= coalesce($6, '-infinity'::timestamptz) AND created_at < coalesce($7, 'infinity'::timestamptz)`,
    [projectId, sessionId, filters.channel, filters.callStatus, filters.state, filters.from, filters.to],
  );
  return rows.map(({ key }) => key);
}

interface StepRow {
  readonly session_key: number;
  readonly place: number;
  readonly fits: boolean;
  readonly candidates: number;
  readonly examined: number;
}

/**
 * Looks at the next sessions for a text. Of one that was erased nothing but the id is left to be found.
 *
 * @returns `last` is the last that was looked at; null: there are no more.
 */
async function searchStepOf(
  pool: pg.Pool,
  projectId: string,
  filters: SessionFilters,
  text: string,
  after: Place | null,
  most: number,
): Promise<{ readonly keys: number[]; readonly last: Place | null }> {
  const { sql, values } = mergedSessions(projectId, filters, after, searchStep);
  const sought = `$${values.push(text)}`;
  // The text of those that come to too many bytes is not read.
  const { rows } = await pool.query<StepRow>(
    `WITH candidate AS MATERIALIZED (
       SELECT session_key, created_at, session_id, extracted_variables, row_number() OVER newest AS number,
         sum(octet_length(extracted_variables)) OVER newest AS bytes, count(*) OVER () AS candidates
       FROM (SELECT * FROM ${sql} LIMIT ${searchStep}) AS candidate
       WINDOW newest AS (ORDER BY ${newestFirst} ROWS UNBOUNDED PRECEDING)
     ), examined AS MATERIALIZED (
       SELECT session_key, created_at, candidates, session_id <> ${sought} AND (position(${sought} in session_id) > 0
           OR position(${sought} in extracted_variables) > 0) AS fits
       FROM candidate WHERE number = 1 OR bytes <= ${stepBytesMax}
     ), wanted AS (
       (SELECT * FROM examined WHERE fits ORDER BY ${newestFirst} LIMIT ${most})
       UNION (SELECT * FROM examined ORDER BY created_at, session_key LIMIT 1)
     )
     SELECT session_key, ${placeSql}, fits, candidates, (SELECT count(*) FROM examined) AS examined
     FROM wanted ORDER BY ${newestFirst}`,
    values,
  );
  const last = rows.at(-1);
  const more = last !== undefined && (last.candidates === searchStep || last.examined < last.candidates);
  return {
    keys: rows.filter(({ fits }) => fits).map(({ session_key }) => session_key),
    last: more ? placeOf(last) : null,
  };
}
