import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StartFile } from "@sendoff/contract";
import pg from "pg";
import { Pool } from "undici";
import type { Run } from "./benchmark.ts";
import {
  type Role,
  type SendoffProcess,
  type Site,
  type Spread,
  startSendoff,
  startSpread,
} from "./sendoff.ts";
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

/** A ground with several processes of Sendoff on one database. */
export interface SpreadStage extends ApiStage {
  readonly spread: Spread;
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

/** Plays a benchmark's runs one after another, each on a stage of its own. @param count how many, when it was not asked for. */
export async function playRuns<One>(
  run: Run,
  count: number,
  play: (stage: Stage, number: number) => Promise<One>,
): Promise<{ readonly runs: readonly One[]; readonly postgres: string }> {
  const runs: One[] = [];
  let postgres = "";
  for (let number = 1; number <= (run.settings.runs ?? count); number++) {
    const stage = await openStage(run);
    postgres = stage.postgresVersion;
    runs.push(await play(stage, number));
    await run.scope.end();
  }
  return { runs, postgres };
}

/** A ground with these processes of Sendoff. */
export async function openSpread(run: Run, roles: readonly Role[]): Promise<SpreadStage> {
  run.progress.step(`Starting PostgreSQL, a sink and sendoff ${roles.join(", ")} ...`);
  const ground = await openGround(run);
  const spread = await startSpread(run.scope, { ...ground, settings: {} }, roles);
  const [first] = spread.starts;
  if (first === undefined) throw new Error("Reports need an API.");
  return { ...ground, spread, ...reach(run, first) };
}

function reach({ scope }: Run, start: StartFile): Pick<ApiStage, "api" | "developerKey"> {
  const { developerKey } = start;
  if (developerKey === null)
    throw new Error("The first process of a database makes its keys; this one knows none.");
  const api = new Pool(start.apiUrl, { connections: apiConnections, pipelining: 1 });
  scope.add(() => api.destroy());
  return { api, developerKey };
}
