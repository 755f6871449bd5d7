import type pg from "pg";
import { type Tally, tallyKinds } from "./tally-sql.ts";

/** Lengths of spans in seconds, and for how many days tallies of each are kept. */
export const spans = [
  { seconds: 60, keptDays: 2 },
  { seconds: 600, keptDays: 9 },
  { seconds: 3_600, keptDays: 40 },
] as const;

const spanValues = spans.map(({ seconds, keptDays }) => `(${seconds}, ${keptDays})`).join(", ");

/** In the order of the primary key: processes that add to the same tallies at once wait for each other in turn. */
const addSql = `
  INSERT INTO tallies (project_id, span_seconds, kind, began_at, subject, count)
  SELECT project_id, seconds, kind, to_timestamp(floor(extract(epoch FROM minute) / seconds) * seconds), subject, sum(count)
  FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::bigint[])
    AS tally (project_id, minute, kind, subject, count)
  CROSS JOIN (VALUES ${spanValues}) AS span (seconds, kept_days)
  WHERE minute > now() - kept_days * interval '1 day'
  GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
  ON CONFLICT (project_id, span_seconds, kind, began_at, subject) DO UPDATE SET count = tallies.count + excluded.count`;

/** Adds tallies to those of their minute, ten minutes and hour. What is older than its span is kept is left out. */
export async function addTallies(db: pg.Pool | pg.PoolClient, tallies: readonly Tally[]): Promise<void> {
  if (tallies.length === 0) return;
  await db.query(addSql, [
    tallies.map(({ projectId }) => projectId),
    tallies.map(({ minute }) => minute),
    tallies.map(({ kind }) => kind),
    tallies.map(({ subject }) => subject),
    tallies.map(({ count }) => count),
  ]);
}

/** Removes tallies that are older than they are kept, project by project: the primary key leads to them. */
export async function removeOldTallies(pool: pg.Pool): Promise<void> {
  await pool.query(
    `DELETE FROM tallies USING projects, (VALUES ${spanValues}) AS span (seconds, kept_days)
     WHERE tallies.project_id = projects.project_id AND span_seconds = seconds
       AND kind = ANY ($1) AND began_at < now() - kept_days * interval '1 day'`,
    [Object.values(tallyKinds)],
  );
}
