import { Kysely, type Migration, Migrator, PostgresDialect } from "kysely";
import type pg from "pg";
import { MigrationError, type MigrationName } from "./migrated.ts";
import { up as tenants } from "./migrations/0001-tenants.ts";
import { up as sessions } from "./migrations/0002-sessions-and-events.ts";
import { up as deliveries } from "./migrations/0003-deliveries.ts";
import { up as webhookLogs } from "./migrations/0004-webhook-logs.ts";
import { up as inspector } from "./migrations/0005-inspector.ts";
import { up as deadlines } from "./migrations/0006-deadlines.ts";
import { up as fairClaims } from "./migrations/0007-fair-claims.ts";
import { up as publicUrl } from "./migrations/0008-public-url.ts";
import { up as resends } from "./migrations/0009-resends-tests-and-old-secrets.ts";
import { up as owedTo } from "./migrations/0010-owed-to.ts";
import { up as feed } from "./migrations/0011-feed.ts";
import { up as erasure } from "./migrations/0012-erasure.ts";
import { up as projectWebhooks } from "./migrations/0013-project-webhooks.ts";
import { up as secretKeyRotation } from "./migrations/0014-secret-key-rotation.ts";
import { up as idsBeforeRows } from "./migrations/0015-ids-before-rows.ts";
import { up as recordings } from "./migrations/0016-recordings.ts";
import { up as dashboardSignIn } from "./migrations/0018-dashboard-sign-in.ts";
import { up as tallies } from "./migrations/0019-tallies.ts";
import { up as lists } from "./migrations/0020-lists.ts";
import { up as writeProbes } from "./migrations/0021-write-probes.ts";
import { up as feedEpochs } from "./migrations/0022-feed-epochs.ts";
import { up as keysForOperators } from "./migrations/0023-keys-for-operators.ts";
import { up as roomForRecordings } from "./migrations/0024-room-for-recordings.ts";
import { up as inspectorSecrets } from "./migrations/0025-inspector-secrets.ts";
import { isUnavailable } from "./unavailable.ts";

/** Every migration, in order. They only go forward; a released one is never changed. */
const migrations: Record<MigrationName, Migration> = {
  "0001-tenants": { up: tenants },
  "0002-sessions-and-events": { up: sessions },
  "0003-deliveries": { up: deliveries },
  "0004-webhook-logs": { up: webhookLogs },
  "0005-inspector": { up: inspector },
  "0006-deadlines": { up: deadlines },
  "0007-fair-claims": { up: fairClaims },
  "0008-public-url": { up: publicUrl },
  "0009-resends-tests-and-old-secrets": { up: resends },
  "0010-owed-to": { up: owedTo },
  "0011-feed": { up: feed },
  "0012-erasure": { up: erasure },
  "0013-project-webhooks": { up: projectWebhooks },
  "0014-secret-key-rotation": { up: secretKeyRotation },
  "0015-ids-before-rows": { up: idsBeforeRows },
  "0016-recordings": { up: recordings },
  "0018-dashboard-sign-in": { up: dashboardSignIn },
  "0019-tallies": { up: tallies },
  "0020-lists": { up: lists },
  "0021-write-probes": { up: writeProbes },
  "0022-feed-epochs": { up: feedEpochs },
  "0023-keys-for-operators": { up: keysForOperators },
  "0024-room-for-recordings": { up: roomForRecordings },
  "0025-inspector-secrets": { up: inspectorSecrets },
};

/**
 * Brings the database to this version's tables. Several processes may call it at once: one migrates, the others wait
 * for it.
 *
 * @returns the names of the migrations that were applied now.
 * @throws MigrationError when one fails (nothing of it stays), or when the database is of a newer version than this code.
 */
export async function migrate(pool: pg.Pool): Promise<string[]> {
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool: undisposed(pool) }) });
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } });
  const { error, results } = await migrator.migrateToLatest();
  if (error !== undefined) {
    // It went away in the midst of it: that says nothing about migrations.
    if (isUnavailable(error)) throw error;
    const failed = results?.find((result) => result.status === "Error")?.migrationName;
    const reason = error instanceof Error ? error.message : String(error);
    throw new MigrationError(
      failed === undefined
        ? `The database could not be migrated: ${reason}. Is it of a newer version of Sendoff?`
        : `Migration ${failed} failed and was undone: ${reason}`,
      { cause: error },
    );
  }
  return (results ?? [])
    .filter((result) => result.status === "Success")
    .map((result) => result.migrationName);
}

/** Kysely ends the pool that it is given when it is destroyed; this pool belongs to the caller. */
function undisposed(pool: pg.Pool): { connect: pg.Pool["connect"]; end(): Promise<void> } {
  return { connect: pool.connect.bind(pool), end: async () => {} };
}
