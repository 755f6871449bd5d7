import { type EventName, eventNames, type Overview, type OverviewBucket } from "@sendoff/contract";
import type pg from "pg";
import { type Progress, readProgress } from "./count.ts";
import { type Durations, percentile } from "./durations.ts";
import { readEndpoints } from "./endpoints.ts";
import { readQueue } from "./queue.ts";
import {
  eventTalliesSql,
  eventTallyColumns,
  logTalliesSql,
  logTallyColumns,
  tallyKinds,
} from "./tally-sql.ts";
import type { Window } from "./window.ts";

/** A tally of one bucket; `at` is null for what is only asked for as a whole. */
interface Row {
  /** Milliseconds since 1970. */
  readonly at: number | null;
  readonly kind: string;
  readonly subject: string;
  readonly count: number;
}

const kinds = tallyKinds;
/** Kinds of which a chart has a point for each bucket. */
const drawn: readonly string[] = [
  kinds.reports,
  kinds.events,
  kinds.unsent,
  kinds.attempts,
  kinds.settled,
  kinds.attemptMs,
];

/** Most rows that are counted for one answer because nobody has counted them yet. */
const liveMax = 20_000;

/** The numbers of a project over a window, read one after another: an overview takes one connection of its pool. */
export async function readOverview(pool: pg.Pool, projectId: string, window: Window): Promise<Overview> {
  const progress = await readProgress(pool);
  const counted = await readTallies(pool, projectId, window);
  const logs = await readLive(pool, projectId, window, liveLogsSql, progress.logId, progress.loggedTo);
  const events = await readLive(pool, projectId, window, liveEventsSql, progress.eventId, null);
  const queue = await readQueue(pool, projectId);
  const rows = [...counted, ...logs.rows, ...events.rows];
  const asOf = asOfOf(progress, logs.whole && events.whole);
  const byBucket = new Map<number, Row[]>();
  for (const row of rows) {
    if (row.at === null) continue;
    const bucket = byBucket.get(row.at);
    if (bucket === undefined) byBucket.set(row.at, [row]);
    else bucket.push(row);
  }
  const all = rows.filter(({ kind }) => drawn.includes(kind));
  return {
    from: new Date(window.fromMs).toISOString(),
    to: new Date(window.toMs).toISOString(),
    bucketSeconds: window.bucketSeconds,
    asOf: asOf.toISOString(),
    totals: countsOf(all),
    buckets: bucketsOf(window, byBucket),
    afterHangUp: afterHangUpOf(rows),
    unsent: {
      noEndpoint: sum(all, kinds.unsent, "no_endpoint"),
      notSubscribed: sum(all, kinds.unsent, "not_subscribed"),
    },
    queue,
    worstEndpoints: await readEndpoints(pool, projectId, rows),
  };
}

/** Now, when all that is not counted yet was counted for this answer. */
function asOfOf({ loggedTo, emittedTo }: Progress, whole: boolean): Date {
  if (whole) return new Date();
  const times = [loggedTo, emittedTo].map((time) => time?.getTime() ?? 0);
  return new Date(Math.min(...times));
}

// Of what is drawn one row for each bucket: tens of thousands of rows take longer on their way than to be read.
const drawnSql = `
  SELECT extract(epoch FROM began_at)::float8 * 1000 AS at, kind, string_agg(subject || '=' || count, ',') AS counts
  FROM tallies WHERE project_id = $1 AND span_seconds = $2 AND kind = ANY ($5) AND began_at >= $3 AND began_at < $4
  GROUP BY kind, began_at`;
const wholeSql = `
  SELECT NULL::float8 AS at, kind, subject || '=' || sum(count) AS counts
  FROM tallies WHERE project_id = $1 AND span_seconds = $2 AND kind = ANY ($5) AND began_at >= $3 AND began_at < $4
  GROUP BY kind, subject`;

async function readTallies(pool: pg.Pool, projectId: string, window: Window): Promise<Row[]> {
  const read = async (sql: string, wanted: readonly string[]): Promise<Row[]> => {
    const span = [window.bucketSeconds, new Date(window.fromMs), new Date(window.toMs)];
    const { rows } = await pool.query<{ at: number | null; kind: string; counts: string }>(sql, [
      projectId,
      ...span,
      wanted,
    ]);
    return rows.flatMap(({ at, kind, counts }) =>
      counts.split(",").map((pair) => {
        const [subject = "", count] = pair.split("=");
        return { at, kind, subject, count: Number(count) };
      }),
    );
  };
  const others = Object.values(kinds).filter((kind) => !drawn.includes(kind));
  return [...(await read(drawnSql, drawn)), ...(await read(wholeSql, others))];
}

// One row at least, for how many were looked at.
const live = (tallies: string): string => `
  counted AS (${tallies})
  SELECT (floor(extract(epoch FROM minute) / $3::int) * $3::int * 1000)::float8 AS at, kind, subject, count, look.examined
  FROM (SELECT count(*) AS examined FROM examined) AS look LEFT JOIN counted ON true`;

// The rows behind those that are counted: of all projects, for they stand together; the newest are left out when there are
// too many.
const liveLogsSql = `
  WITH examined AS MATERIALIZED (
    SELECT ${logTallyColumns} FROM webhook_logs
    WHERE log_id > $1 AND attempted_at > greatest(coalesce($6::timestamptz, '-infinity'), now() - interval '31 days') - interval '2 days'
    ORDER BY log_id LIMIT ${liveMax}
  ), own AS (
    SELECT * FROM examined WHERE project_id = $2 AND attempted_at >= $4 AND attempted_at < $5
  ), ${live(logTalliesSql("own"))}`;
const liveEventsSql = `
  WITH examined AS MATERIALIZED (
    SELECT ${eventTallyColumns} FROM events WHERE event_id > $1 ORDER BY event_id LIMIT ${liveMax}
  ), own AS (
    SELECT * FROM examined
    WHERE project_id = $2 AND emitted_at >= $4 AND emitted_at < $5 AND $6::timestamptz IS NULL
  ), ${live(eventTalliesSql("own"))}`;

async function readLive(
  pool: pg.Pool,
  projectId: string,
  window: Window,
  sql: string,
  behindId: number,
  loggedTo: Date | null,
): Promise<{ readonly rows: Row[]; readonly whole: boolean }> {
  const { rows } = await pool.query<Row & { examined: number }>(sql, [
    behindId,
    projectId,
    window.bucketSeconds,
    new Date(window.fromMs),
    new Date(window.toMs),
    loggedTo,
  ]);
  return { rows: rows.filter(({ kind }) => kind !== null), whole: (rows[0]?.examined ?? 0) < liveMax };
}

function bucketsOf(window: Window, byBucket: ReadonlyMap<number, Row[]>): OverviewBucket[] {
  const buckets: OverviewBucket[] = [];
  for (let at = window.fromMs; at < window.toMs; at += window.bucketSeconds * 1_000) {
    buckets.push({ at: new Date(at).toISOString(), ...countsOf(byBucket.get(at) ?? []) });
  }
  return buckets;
}

function sum(rows: readonly Row[], kind: string, ...subjects: string[]): number {
  let total = 0;
  for (const row of rows) {
    if (row.kind === kind && (subjects.length === 0 || subjects.includes(row.subject))) total += row.count;
  }
  return total;
}

function countsOf(rows: readonly Row[]): Overview["totals"] {
  const delivered = sum(rows, kinds.settled, "delivered");
  const failed = sum(rows, kinds.settled, "rejected", "failed", "exhausted");
  const unknown = sum(rows, kinds.settled, "unknown");
  const settled = delivered + failed + unknown;
  const durations = durationsOf(rows.filter(({ kind }) => kind === kinds.attemptMs));
  return {
    reports: sum(rows, kinds.reports),
    late: sum(rows, kinds.reports, "late"),
    events: sum(rows, kinds.events),
    unsent: sum(rows, kinds.unsent),
    attempts: sum(rows, kinds.attempts),
    delivered,
    failed,
    unknown,
    successRate: settled === 0 ? null : delivered / settled,
    p50Ms: percentile(durations, 0.5),
    p95Ms: percentile(durations, 0.95),
  };
}

/** @param rows of which the subject ends with a class of durations. */
function durationsOf(rows: readonly Row[]): Durations {
  const durations: Durations = new Map();
  for (const { subject, count } of rows) {
    const index = Number(subject.split(" ").at(-1));
    durations.set(index, (durations.get(index) ?? 0) + count);
  }
  return durations;
}

function afterHangUpOf(rows: readonly Row[]): Overview["afterHangUp"] {
  const measured = rows.filter(({ kind }) => kind === kinds.hangUpMs);
  return eventNames.flatMap((event: EventName) => {
    const durations = durationsOf(measured.filter(({ subject }) => subject.startsWith(`${event} `)));
    const count = [...durations.values()].reduce((total, one) => total + one, 0);
    if (count === 0) return [];
    return [{ event, count, p50Ms: percentile(durations, 0.5), p95Ms: percentile(durations, 0.95) }];
  });
}
