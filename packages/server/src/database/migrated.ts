import type pg from "pg";

/** The database has not got this version's tables. The message says why; the cause is the error of PostgreSQL, if it is one. */
export class MigrationError extends Error {}

/** Names of all migrations, in order; migrate.ts has what they do. */
export const migrationNames = [
  "0001-tenants",
  "0002-sessions-and-events",
  "0003-deliveries",
  "0004-webhook-logs",
  "0005-inspector",
  "0006-deadlines",
  "0007-fair-claims",
  "0008-public-url",
  "0009-resends-tests-and-old-secrets",
  "0010-owed-to",
  "0011-feed",
  "0012-erasure",
  "0013-project-webhooks",
  "0014-secret-key-rotation",
  "0015-ids-before-rows",
  "0016-recordings",
  "0018-dashboard-sign-in",
  "0019-tallies",
  "0020-lists",
  "0021-write-probes",
  "0022-feed-epochs",
  "0023-keys-for-operators",
  "0024-room-for-recordings",
  "0025-inspector-secrets",
] as const;

export type MigrationName = (typeof migrationNames)[number];

/** Whether the database has every migration of this version. */
export async function isMigrated(pool: pg.Pool): Promise<boolean> {
  const applied = new Set(await appliedMigrations(pool));
  return migrationNames.every((name) => applied.has(name));
}

/** Whether it has these migrations and no others: there is nothing to do, and no newer version has been there. */
export async function isCurrent(pool: pg.Pool): Promise<boolean> {
  const applied = await appliedMigrations(pool);
  return applied.length === migrationNames.length && migrationNames.every((name) => applied.includes(name));
}

/** None of a database that no Sendoff has started on. */
async function appliedMigrations(pool: pg.Pool): Promise<string[]> {
  const { rows: found } = await pool.query<{ there: boolean }>(
    "SELECT to_regclass('kysely_migration') IS NOT NULL AS there",
  );
  if (found[0]?.there !== true) return [];
  const { rows } = await pool.query<{ name: string }>("SELECT name FROM kysely_migration");
  return rows.map(({ name }) => name);
}
