/**
 * A PostgreSQL of the installation's own, so that Sendoff runs on a machine with Node.js alone.
 *
 * The server is a detached process: it outlives a Sendoff that is killed, and the next start takes it over. So a
 * start does not decide who may use the installation; holdInstallation() in owner.ts does.
 */
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { findPackage, placeBinaries } from "./binaries.ts";
import { makeCluster, removeLeftovers } from "./cluster.ts";
import { codeOf, EmbeddedPostgresError, USE_ANOTHER } from "./error.ts";
import { CLUSTER, findPlace } from "./place.ts";
import {
  connectionTo,
  endPostmaster,
  findPostmaster,
  refuseForeignServer,
  waitUntilReady,
} from "./postmaster.ts";
import { removeSocketFolder, startServer } from "./server.ts";

export { EmbeddedPostgresError } from "./error.ts";
export { isEnded } from "./postmaster.ts";

/** Name of the database that Sendoff's tables are in. */
const DATABASE = "sendoff";
/** How long to try again while another start, or what a killed server left running, is in the way. */
const CONTEST_WAIT_MS = 30_000;
const CONTEST_POLL_MS = 50;

/** A running PostgreSQL of this installation's own. */
export interface EmbeddedPostgres {
  /** For `pg`: a URL that names the unix socket's folder, the superuser and the database "sendoff". */
  connectionString: string;
  /** Absolute path of the cluster's folder. */
  clusterFolder: string;
  /** True when the server was running already: its Sendoff was killed, or another start was first. */
  adopted: boolean;
  /** Process id of the postmaster. */
  pid: number;
  /**
   * Ends the server: fast shutdown, at once after 20 s. Waits until the process is gone. Idempotent; works for an
   * adopted server also. Only for the process that holds the installation: others would end the server under it.
   * @throws EmbeddedPostgresError when the process survives both
   */
  stop(): Promise<void>;
}

export interface EmbeddedOptions {
  /** Folder for all of it: `SENDOFF_DATA`. Made when missing. */
  dataFolder: string;
  /** Gets a sentence for the operator when something takes long or lies elsewhere than expected. */
  onProgress?: (sentence: string) => void;
}

/**
 * Starts the installation's PostgreSQL, or takes over the one that runs, and makes what is missing: the data
 * folder, the cluster, the database. Takes about 1 s the first time and 0.1 s later. Safe to call in two
 * processes at once: both get the same server.
 * @throws EmbeddedPostgresError whatever is wrong
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const dataFolder = resolve(options.dataFolder);
  try {
    return await start(dataFolder, options.onProgress ?? (() => {}));
  } catch (error) {
    if (error instanceof EmbeddedPostgresError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new EmbeddedPostgresError(
      `The embedded PostgreSQL could not be started with the data folder ${dataFolder}: ${reason}. ${USE_ANOTHER}`,
      { cause: error },
    );
  }
}

async function start(dataFolder: string, tell: (sentence: string) => void): Promise<EmbeddedPostgres> {
  const source = await findPackage();
  const place = await findPlace(dataFolder, tell);
  const cluster = join(place.folder, CLUSTER);
  const begun = performance.now();
  for (;;) {
    const found = await findPostmaster(cluster);
    if (found.kind === "runs") {
      const socketFolder = await waitUntilReady(cluster, found.pid, tell);
      if (socketFolder !== null)
        return await handOver({ cluster, pid: found.pid, socketFolder, adopted: true });
      // It was about to end. Now there is none.
      continue;
    }
    if (found.kind === "stale") await refuseForeignServer(cluster, found);
    const programs = await placeBinaries(source, place.folder);
    await makeCluster(place, source, programs, tell);
    const started = await startServer(place, programs, found.kind === "stale" ? found.pid : null, tell);
    if (started.kind === "ready") {
      if (found.kind === "stale") await removeSocketFolder(found.socketFolder, started.socketFolder);
      await removeLeftovers(place.folder, source);
      return await handOver({ cluster, ...started, adopted: false });
    }
    if (performance.now() - begun > CONTEST_WAIT_MS || !isContest(started.log)) {
      throw new EmbeddedPostgresError(
        `PostgreSQL ended while it started on ${cluster}. It said:\n${started.log}\n${USE_ANOTHER}`,
      );
    }
    await sleep(CONTEST_POLL_MS);
  }
}

/** Another start was first; or the processes of a killed server still have its memory, until they notice. */
function isContest(log: string): boolean {
  return /lock file "[^"]*" (already exists|is empty)|shared memory block .* is still in use/.test(log);
}

async function handOver(server: {
  cluster: string;
  pid: number;
  socketFolder: string;
  adopted: boolean;
}): Promise<EmbeddedPostgres> {
  const { cluster, pid, socketFolder, adopted } = server;
  await makeDatabase(socketFolder);
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    await endPostmaster(cluster, pid);
    await removeSocketFolder(socketFolder);
  };
  return {
    connectionString: urlOf(socketFolder),
    clusterFolder: cluster,
    adopted,
    pid,
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

function urlOf(socketFolder: string): string {
  const { host, port, user, database } = connectionTo(socketFolder, DATABASE);
  // The host before the path is a filler: a URL cannot have a user without a host, and `?host=` prevails.
  return `postgresql://${user}@localhost/${database}?host=${encodeURIComponent(host)}&port=${port}&sslmode=disable`;
}

async function makeDatabase(socketFolder: string): Promise<void> {
  const client = new pg.Client(connectionTo(socketFolder, "postgres"));
  await client.connect();
  try {
    const { rowCount } = await client.query("select from pg_database where datname = $1", [DATABASE]);
    if (rowCount === 0) await client.query(`create database ${pg.escapeIdentifier(DATABASE)}`);
  } catch (error) {
    // Of two starts at once the other made it: duplicate_database, or unique_violation in the catalogue.
    if (!["42P04", "23505"].includes(codeOf(error))) throw error;
  } finally {
    await client.end();
  }
}
