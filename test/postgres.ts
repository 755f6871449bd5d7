// One real PostgreSQL for all tests, and in it a migrated template that each test file clones.
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startEmbedded } from "../packages/server/src/database/embedded/embedded.ts";
import { migrate } from "../packages/server/src/database/migrate.ts";
import { createPool } from "../packages/server/src/database/pool.ts";
import { createLog } from "../packages/server/src/log.ts";
import { ensureLogPartitions } from "../packages/server/src/logbook/partitions.ts";
import { databaseUrl, templateName } from "./database.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Connection string of the test server's maintenance database. */
    postgresUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "sendoff-test-postgres-"));
  // As root, PostgreSQL runs as another account, which must be able to pass.
  await chmod(folder, 0o755);
  const server = await startEmbedded({ dataFolder: join(folder, "data") });
  const log = createLog("silent");
  const admin = createPool({ connectionString: server.connectionString }, log);
  await admin.query(`CREATE DATABASE ${templateName}`);
  const template = createPool({ connectionString: databaseUrl(server.connectionString, templateName) }, log);
  await migrate(template);
  await ensureLogPartitions(template);
  await template.end();
  await admin.end();
  project.provide("postgresUrl", server.connectionString);
  return async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  };
}
