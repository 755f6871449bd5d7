import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { Pool } from "undici";
import type { Run } from "./benchmark.ts";
import { type SendoffProcess, startSendoff } from "./sendoff.ts";
import { startEmbedded } from "./server-parts.ts";
import { type Sink, startSink } from "./sink.ts";

/** PostgreSQL, Sendoff and a sink, started for one run, and ways to reach them. */
export interface Stage {
  readonly sendoff: SendoffProcess;
  readonly sink: Sink;
  /** Connections of the benchmark's own to the database. */
  readonly database: pg.Pool;
  /** Process id of the postmaster. */
  readonly postgresPid: number;
  readonly postgresVersion: string;
  /** The API, with connections of its own. */
  readonly api: Pool;
}

const apiConnections = 64;

/** Starts all of it in a temporary folder; the run's scope ends and removes it. */
export async function openStage(
  { scope, progress }: Run,
  settings: Readonly<Record<string, string>> = {},
): Promise<Stage> {
  progress.step("Starting PostgreSQL, Sendoff and a sink ...");
  const folder = await mkdtemp(join(tmpdir(), "sendoff-bench-"));
  // PostgreSQL's last children may still be letting go of their files.
  scope.add(() => rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
  // As root, PostgreSQL runs as another account, which must be able to pass.
  await chmod(folder, 0o755);
  const postgres = await startEmbedded({ dataFolder: join(folder, "postgres") });
  scope.add(() => postgres.stop());
  const database = new pg.Pool({ connectionString: postgres.connectionString, max: 4 });
  // The server ends before its last connection notices.
  database.on("error", () => {});
  const sendoff = await startSendoff(scope, join(folder, "data"), postgres.connectionString, settings);
  const api = new Pool(sendoff.start.apiUrl, { connections: apiConnections, pipelining: 1 });
  scope.add(async () => {
    await Promise.all([api.destroy(), database.end()]);
  });
  const { rows } = await database.query<{ server_version: string }>("SHOW server_version");
  return {
    sendoff,
    sink: startSink(scope),
    database,
    postgresPid: postgres.pid,
    postgresVersion: rows[0]?.server_version ?? "unknown",
    api,
  };
}
