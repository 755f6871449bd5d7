import { randomBytes } from "node:crypto";
import type pg from "pg";
import { inject } from "vitest";
import { createPool } from "../packages/server/src/database/pool.ts";
import { createLog } from "../packages/server/src/log.ts";

/** The migrated database that others are cloned from. */
export const templateName = "sendoff_template";

/** The same server's address with another database. */
export function databaseUrl(serverUrl: string, name: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

export interface TestDatabase {
  readonly url: string;
  /** A pool on it, closed by drop(). */
  readonly pool: pg.Pool;
  drop(): Promise<void>;
}

/** A database of its own with all tables, and nothing in them. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const log = createLog("silent");
  const admin = createPool({ connectionString: inject("postgresUrl") }, log);
  const name = `test_${randomBytes(6).toString("hex")}`;
  await admin.query(`CREATE DATABASE ${name} TEMPLATE ${templateName}`);
  const url = databaseUrl(inject("postgresUrl"), name);
  const pool = createPool({ connectionString: url }, log);
  return {
    url,
    pool,
    async drop() {
      await pool.end();
      await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await admin.end();
    },
  };
}

/**
 * Empties tables while a server may be at work on them. TRUNCATE takes its locks table by table, as a statement
 * of the server does in another order, so PostgreSQL may end either as a deadlock's victim: then it is tried again.
 */
export async function emptyTables(pool: pg.Pool, ...tables: string[]): Promise<void> {
  const deadlock = "40P01";
  for (let left = 10; ; left -= 1) {
    try {
      await pool.query(`TRUNCATE ${tables.join(", ")}`);
      return;
    } catch (error) {
      if ((error as { code?: string }).code !== deadlock || left === 0) throw error;
    }
  }
}
