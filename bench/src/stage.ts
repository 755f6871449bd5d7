import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StartFile } from "@sendoff/contract";
import pg from "pg";
import { Pool } from "undici";
import type { Run } from "./benchmark.ts";
import { type Halves, type SendoffProcess, type Site, startHalves, startSendoff } from "./sendoff.ts";
import { startEmbedded } from "./server-parts.ts";
import { type Sink, startSink } from "./sink.ts";

/** PostgreSQL and a sink, started for one run: what there is before Sendoff or another system is. */
export interface Ground {
  /** Temporary; the run's scope removes it. */
  readonly folder: string;
  readonly sink: Sink;
  /** Connections of the benchmark's own to the database. */
  readonly database: pg.Pool;
  readonly databaseUrl: string;
  /** Process id of the postmaster. */
  readonly postgresPid: number;
  readonly postgresVersion: string;
}

/** A ground with an API of Sendoff on it, and ways to reach that. */
export interface ApiStage extends Ground {
  /** Opens everything: makes projects. */
  readonly developerKey: string;
  /** The API, with connections of its own. */
  readonly api: Pool;
}

/** A ground with `sendoff start`. */
export interface Stage extends ApiStage {
  readonly sendoff: SendoffProcess & { readonly start: StartFile };
}

/** A ground with `sendoff api` and `sendoff worker`. */
export interface HalvesStage extends ApiStage {
  readonly halves: Halves;
}

const apiConnections = 64;

export async function openGround({ scope }: Pick<Run, "scope">): Promise<Ground> {
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
  scope.add(() => database.end());
  const { rows } = await database.query<{ server_version: string }>("SHOW server_version");
  return {
    folder,
    sink: startSink(scope),
    database,
    databaseUrl: postgres.connectionString,
    postgresPid: postgres.pid,
    postgresVersion: rows[0]?.server_version ?? "unknown",
  };
}

/** Starts all of it in a temporary folder; the run's scope ends and removes it. */
export async function openStage(run: Run, settings: Site["settings"] = {}): Promise<Stage> {
  run.progress.step("Starting PostgreSQL, Sendoff and a sink ...");
  const ground = await openGround(run);
  const sendoff = await startSendoff(run.scope, { ...ground, settings });
  return { ...ground, sendoff, ...reach(run, sendoff.start) };
}

/** The same with the API and the deliveries in processes of their own. */
export async function openHalves(run: Run, apis: number, workers: number): Promise<HalvesStage> {
  run.progress.step(`Starting PostgreSQL, ${apis} sendoff api, ${workers} sendoff worker and a sink ...`);
  const ground = await openGround(run);
  const halves = await startHalves(run.scope, { ...ground, settings: {} }, apis, workers);
  const [first] = halves.starts;
  if (first === undefined) throw new Error("Halves need an API.");
  return { ...ground, halves, ...reach(run, first) };
}

function reach({ scope }: Run, start: StartFile): Pick<ApiStage, "api" | "developerKey"> {
  const api = new Pool(start.apiUrl, { connections: apiConnections, pipelining: 1 });
  scope.add(() => api.destroy());
  return { api, developerKey: start.developerKey };
}
