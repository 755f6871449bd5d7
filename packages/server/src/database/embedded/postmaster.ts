/** Knows of the server process: whether one runs on a cluster, how to start one, and how to end it. */
import { execFile } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import pg from "pg";
import { codeOf, EmbeddedPostgresError } from "./error.ts";

const POLL_MS = 25;
const READY_WAIT_MS = 60_000;
/** Recovery after a crash replays the log of changes; PostgreSQL says meanwhile that it is starting up. */
const RECOVERY_WAIT_MS = 300_000;
const RECOVERY_NEWS_EVERY_MS = 10_000;
const FAST_SHUTDOWN_WAIT_MS = 20_000;
const IMMEDIATE_SHUTDOWN_WAIT_MS = 10_000;

/** Port in the name of the socket; nothing listens on it. */
export const PORT = 5432;
/** The superuser of the cluster, whom Sendoff connects as. */
export const DATABASE_USER = "sendoff";

/** What `postmaster.pid` says, as far as it is written; PostgreSQL adds the lines while it starts. */
interface PidFile {
  pid: number;
  /** "" until the socket is open. */
  socketFolder: string;
}

/**
 * `runs`: a live server of this cluster. `stale`: a server that did not end in order left its pid file, and the
 * pid is dead or now belongs to some other process. `none`: no pid file.
 */
export type Found = { kind: "none" } | { kind: "stale" | "runs"; pid: number; socketFolder: string };

/** Looks for a server on the cluster. */
export async function findPostmaster(cluster: string): Promise<Found> {
  const file = await readPidFile(cluster);
  if (file === null) return { kind: "none" };
  return { kind: (await isPostmaster(file.pid, cluster)) ? "runs" : "stale", ...file };
}

/**
 * Throws when a server whose process this machine does not have answers at the socket: one in another container,
 * on the same folder. PostgreSQL itself cannot see that one (its pid and its shared memory are that container's),
 * and two servers on one cluster destroy it.
 */
export async function refuseForeignServer(cluster: string, stale: { pid: number; socketFolder: string }) {
  if (stale.socketFolder === "") return;
  const refusal = await probe(stale.socketFolder);
  // Anything else, even silence, comes from somebody who listens.
  const isDeserted = ["ENOENT", "ENOTDIR", "ECONNREFUSED", "EACCES"].includes(codeOf(refusal));
  // A server that another start has just begun answers there also, but then the file names that one.
  if (isDeserted || (await readPidFile(cluster))?.pid !== stale.pid) return;
  throw new EmbeddedPostgresError(
    `A PostgreSQL answers at ${stale.socketFolder}, but its process ${stale.pid} is none of this machine's: ` +
      "another container seems to use the same data folder. Stop that one first, or set SENDOFF_DATA to another folder.",
  );
}

/**
 * Waits until the server answers a query. Returns its socket's folder, or null when the process ended before.
 * At most 60 s, or 5 minutes as long as it says that it is starting up; then throws.
 */
export async function waitUntilReady(
  cluster: string,
  pid: number,
  tell: (sentence: string) => void,
): Promise<string | null> {
  const begun = performance.now();
  let limitMs = READY_WAIT_MS;
  let nextNewsMs = RECOVERY_NEWS_EVERY_MS;
  let last = "it has not opened its socket";
  while (!(await isEnded(pid))) {
    const file = await readPidFile(cluster);
    // Only the server that the file names is the cluster's: of two started at once the other is about to end.
    if (file?.pid === pid && file.socketFolder !== "") {
      const refusal = await probe(file.socketFolder);
      if (refusal === null) return file.socketFolder;
      last = refusal.message;
      if (/starting up|recovery|not yet accepting/.test(last)) limitMs = RECOVERY_WAIT_MS;
    }
    const waitedMs = performance.now() - begun;
    if (waitedMs > limitMs) {
      throw new EmbeddedPostgresError(
        `PostgreSQL (process ${pid}) on ${cluster} does not answer after ${Math.round(waitedMs / 1000)} s: ${last}. ` +
          `Read postgres.log beside that folder; kill -INT ${pid} ends it, then start again.`,
      );
    }
    if (waitedMs > nextNewsMs) {
      nextNewsMs += RECOVERY_NEWS_EVERY_MS;
      tell(`Still waiting for PostgreSQL after ${Math.round(waitedMs / 1000)} s: ${last}.`);
    }
    await sleep(POLL_MS);
  }
  return null;
}

/**
 * Ends the server of the cluster: SIGINT (fast shutdown: sessions are ended, all is written), and after 20 s
 * SIGQUIT (ends at once; the next start recovers). Does nothing when the pid is not that server's (any more).
 */
export async function endPostmaster(cluster: string, pid: number): Promise<void> {
  if (!(await isPostmaster(pid, cluster))) return;
  signal(pid, "SIGINT");
  if (await waitUntilGone(pid, FAST_SHUTDOWN_WAIT_MS)) return;
  signal(pid, "SIGQUIT");
  if (await waitUntilGone(pid, IMMEDIATE_SHUTDOWN_WAIT_MS)) return;
  throw new EmbeddedPostgresError(
    `PostgreSQL (process ${pid}) on ${cluster} ended neither by SIGINT nor by SIGQUIT. ` +
      `Read postgres.log beside that folder; as a last resort kill -9 ${pid}, the next start recovers.`,
  );
}

async function readPidFile(cluster: string): Promise<PidFile | null> {
  let text: string;
  try {
    text = await readFile(join(cluster, "postmaster.pid"), "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw error;
  }
  const lines = text.split("\n");
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 1) return null;
  // The fifth line is the socket's folder. It counts once its line break is written.
  return { pid, socketFolder: lines.length > 5 ? (lines[4] ?? "") : "" };
}

/** Null when the server answers a query, else why it does not. */
async function probe(socketFolder: string): Promise<Error | null> {
  const client = new pg.Client({ ...connectionTo(socketFolder, "postgres"), connectionTimeoutMillis: 5_000 });
  client.on("error", () => {});
  try {
    await client.connect();
    await client.query("select 1");
    return null;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  } finally {
    await client.end().catch(() => {});
  }
}

/** Complete, so that no PG* variable of the environment decides anything. */
export function connectionTo(socketFolder: string, database: string) {
  return { host: socketFolder, port: PORT, user: DATABASE_USER, database, ssl: false };
}

/** A process of PostgreSQL that works in the cluster's folder; a pid alone may have passed to another program. */
async function isPostmaster(pid: number, cluster: string): Promise<boolean> {
  if (await isEnded(pid)) return false;
  if (process.platform !== "linux") {
    const { stdout } = await promisify(execFile)("ps", ["-o", "command=", "-p", String(pid)]).catch(() => ({
      stdout: "",
    }));
    // ps may write other characters than ASCII in escapes, so such a path is taken on trust.
    return stdout.includes("postgres") && (stdout.includes(cluster) || /[^ -~]/.test(cluster));
  }
  try {
    const [name, works, there] = await Promise.all([
      readFile(`/proc/${pid}/comm`, "utf8"),
      stat(`/proc/${pid}/cwd`),
      stat(cluster),
    ]);
    return name.trim() === "postgres" && works.dev === there.dev && works.ino === there.ino;
  } catch {
    // Ended meanwhile, or a process of somebody else, whose folder is not ours to see.
    return false;
  }
}

/** True for a zombie also: it has ended, and whether its parent ever asks for it is the parent's matter. */
export async function isEnded(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return codeOf(error) === "ESRCH";
  }
  if (process.platform !== "linux") return false;
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => null);
  if (text === null) return true;
  // The name between the brackets may itself hold brackets and spaces.
  return ["Z", "X"].includes(text.slice(text.lastIndexOf(")") + 2)[0] ?? "");
}

async function waitUntilGone(pid: number, limitMs: number): Promise<boolean> {
  const begun = performance.now();
  while (!(await isEnded(pid))) {
    if (performance.now() - begun > limitMs) return false;
    await sleep(POLL_MS);
  }
  return true;
}

function signal(pid: number, name: "SIGINT" | "SIGQUIT"): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (codeOf(error) !== "ESRCH") throw error;
  }
}
