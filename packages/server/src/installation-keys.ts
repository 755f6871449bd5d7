import type pg from "pg";
import { type Config, readConfig } from "./config.ts";
import { type Visit, visitEmbedded } from "./database/embedded/visit.ts";
import { isMigrated } from "./database/migrated.ts";
import { createPool, waitForAnswer } from "./database/pool.ts";
import { createLog } from "./log.ts";
import { asStartError, StartError } from "./start-error.ts";
import { type KeyRow, listKeys, type Revoked, revokeKey } from "./tenancy/key-list.ts";
import { createKey } from "./tenancy/keys.ts";
import { listProjects, projectExists } from "./tenancy/projects.ts";

/** The keys of an installation, for whoever operates it and so has its database. */
export interface InstallationKeys {
  /** Every key, also those that were revoked. Oldest first. */
  list(): Promise<KeyRow[]>;
  /**
   * Makes a key. Its text is answered here and never again.
   *
   * @param projectId null: a developer key.
   */
  create(projectId: string | null): Promise<{ readonly id: string; readonly key: string }>;
  /** @param given an id, how an id or a key begins, or a whole key. */
  revoke(given: string): Promise<Revoked>;
}

/**
 * Lends the keys of the installation that these settings name: DATABASE_URL, or the embedded PostgreSQL of SENDOFF_DATA,
 * also while Sendoff runs on it.
 *
 * @throws StartError when a setting or the database stands in the way.
 */
export async function withInstallationKeys<Result>(
  env: Readonly<Record<string, string | undefined>>,
  work: (keys: InstallationKeys) => Promise<Result>,
): Promise<Result> {
  let visit: Visit | null = null;
  try {
    const config = readConfig(env);
    visit = await visitDatabase(config);
    const pool = createPool({ connectionString: visit.connectionString }, createLog("silent"));
    try {
      await waitForAnswer(() => pool.query("SELECT 1"));
      await refuseOther(pool);
      return await work(keysOf(pool));
    } finally {
      await pool.end();
    }
  } catch (error) {
    throw asStartError(error);
  } finally {
    await visit?.end();
  }
}

async function visitDatabase({ databaseUrl, dataFolder }: Config): Promise<Visit> {
  if (databaseUrl !== null) return { connectionString: databaseUrl, end: async () => {} };
  const visit = await visitEmbedded(dataFolder);
  if (visit !== null) return visit;
  throw new StartError(
    `No database is known: DATABASE_URL is not set, and ${dataFolder} has no embedded PostgreSQL. Set DATABASE_URL, or SENDOFF_DATA to the data folder of sendoff start.`,
  );
}

/** A database without this version's tables, and one on which nobody has started an API. */
async function refuseOther(pool: pg.Pool): Promise<void> {
  if (!(await isMigrated(pool))) {
    throw new StartError(
      "This database does not have the tables of this version of Sendoff. Start this version on it first (sendoff start, api or worker), or use the version that runs on it.",
    );
  }
  // Else the start that comes would find keys, and make no first project.
  if ((await listProjects(pool, null)).length === 0) {
    throw new StartError(
      "This database has no project and no key yet. The first sendoff start or sendoff api on it makes both.",
    );
  }
}

const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const keysOf = (pool: pg.Pool): InstallationKeys => ({
  list: () => listKeys(pool),
  revoke: (given) => revokeKey(pool, given),
  async create(projectId) {
    if (projectId === null) return createKey(pool, { kind: "developer" });
    if (!uuidPattern.test(projectId) || !(await projectExists(pool, projectId))) {
      const known = (await listProjects(pool, null)).slice(0, 5).map(({ id }) => id);
      throw new StartError(
        `There is no project ${JSON.stringify(projectId.slice(0, 60))}; expected the id of one, such as ${known.join(", ")}.`,
      );
    }
    return createKey(pool, { kind: "project", projectId });
  },
});
