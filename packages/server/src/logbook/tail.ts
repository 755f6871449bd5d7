import type { EventName, Outcome, WebhookLog } from "@sendoff/contract";
import type pg from "pg";
import { decodeCursor, encodeCursor } from "../database/cursor.ts";
import { Filters } from "../database/filters.ts";
import { type LogRow, logRowColumns, viewLog } from "./read.ts";

/** Which attempts a live tail shows. */
export interface TailFilter {
  readonly event: readonly EventName[] | undefined;
  readonly outcome: readonly Outcome[] | undefined;
  readonly endpointId: string | undefined;
  readonly sessionId: string | undefined;
}

/**
 * Where a tail stands. Ids are given before the commit and commits happen in any order, so a row can appear below the
 * largest id that was seen; ids that were skipped are looked for again until they are too old to come.
 */
export interface TailPosition {
  /** The largest id that was seen, of any project. */
  readonly max: number;
  /** Ids below it that were not there, and since when by the monotonic clock, in milliseconds. */
  readonly skipped: ReadonlyMap<number, number>;
}

/** A row with the position to come back with: it may bring some rows again, and loses none. */
export interface TailItem {
  readonly cursor: string;
  readonly log: WebhookLog;
}

export interface TailPage {
  readonly items: readonly TailItem[];
  readonly next: TailPosition;
  readonly caughtUp: boolean;
}

/** An attempt is stored within 20 s of its id, the time limit of a statement, or never. */
const skippedMaxMs = 25_000;
/** Most ids that are looked for again: a sequence that was set forward by hand leaves a great gap. */
const skippedMax = 1_000;
/** Most rows of all projects that one look goes over. */
const examinedMax = 2_000;
/** Partitions of these days have every row that is written now: PostgreSQL opens no others. */
const recent = "attempted_at > now() - interval '2 days' AND attempted_at < now() + interval '1 hour'";

/** Behind every row of now. */
export async function tailNow(pool: pg.Pool): Promise<TailPosition> {
  const { rows } = await pool.query<{ max: number }>(
    `SELECT coalesce((SELECT log_id FROM webhook_logs WHERE ${recent} ORDER BY log_id DESC LIMIT 1), 0) AS max`,
  );
  return { max: rows[0]?.max ?? 0, skipped: new Map() };
}

/** @throws Refusal invalid_query when it is not a cursor of a tail. */
export function tailAt(cursor: string): TailPosition {
  const [max] = decodeCursor(cursor, [/^\d{1,16}$/]);
  return { max: Number(max), skipped: new Map() };
}

const cursorOf = ({ max, skipped }: TailPosition): string =>
  encodeCursor([Math.min(max, ...[...skipped.keys()].map((id) => id - 1))]);

/** The attempts of a project that were written since a position. */
export async function readTail(
  pool: pg.Pool,
  projectId: string,
  filter: TailFilter,
  after: TailPosition,
  nowMs: number,
): Promise<TailPage> {
  const { ids, next } = await newIds(pool, after, nowMs);
  if (ids.length === 0) return { items: [], next, caughtUp: true };
  const filters = new Filters()
    .add("log_id = ANY (?::bigint[])", ids)
    .add("project_id = ?", projectId)
    .add("event = ANY (?)", filter.event)
    .add("outcome = ANY (?)", filter.outcome)
    .add("endpoint_id = ?", filter.endpointId)
    .add("session_id = ?", filter.sessionId);
  const { rows } = await pool.query<LogRow>(
    `SELECT ${logRowColumns} FROM webhook_logs ${filters.where} AND ${recent} ORDER BY log_id`,
    filters.values,
  );
  // While a page is written, what comes back is the position before it.
  const cursor = cursorOf({ max: Math.max(0, (ids[0] as number) - 1), skipped: next.skipped });
  const last = cursorOf(next);
  return {
    items: rows.map((row, index) => ({
      cursor: index === rows.length - 1 ? last : cursor,
      log: viewLog(row),
    })),
    next,
    caughtUp: ids.length < examinedMax,
  };
}

/** Ids that are new since a position, in order. */
async function newIds(
  pool: pg.Pool,
  after: TailPosition,
  nowMs: number,
): Promise<{ readonly ids: number[]; readonly next: TailPosition }> {
  const { rows } = await pool.query<{ id: number }>(
    `(SELECT log_id AS id FROM webhook_logs WHERE log_id = ANY ($1::bigint[]) AND ${recent})
     UNION ALL (SELECT log_id FROM webhook_logs WHERE log_id > $2 AND ${recent} ORDER BY log_id LIMIT ${examinedMax})
     ORDER BY id`,
    [[...after.skipped.keys()], after.max],
  );
  const ids = rows.map(({ id }) => id);
  return { ids, next: positionAfter(after, ids, nowMs) };
}

/** The position when some ids more have been seen. Pure. */
export function positionAfter(after: TailPosition, ids: readonly number[], nowMs: number): TailPosition {
  const skipped = new Map<number, number>();
  const seen = new Set(ids);
  for (const [id, sinceMs] of after.skipped) {
    if (!seen.has(id) && nowMs - sinceMs < skippedMaxMs) skipped.set(id, sinceMs);
  }
  let { max } = after;
  for (const id of ids) {
    if (id <= max) continue;
    // Of a large gap the end: the ids that can still come are those that were given last.
    for (let gap = Math.max(max + 1, id - skippedMax); gap < id; gap++) skipped.set(gap, nowMs);
    max = id;
  }
  const latest = [...skipped].slice(-skippedMax);
  return { max, skipped: new Map(latest) };
}
