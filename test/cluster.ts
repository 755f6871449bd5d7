import { execFile } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { startEmbedded } from "../packages/server/src/database/embedded/embedded.ts";
import { newFolder } from "./process.ts";
import { until } from "./until.ts";

/** A PostgreSQL with a folder of its own, for tests that stop, kill or copy it. */
export interface Cluster {
  /** Folder of its socket: whom it is reached by. */
  readonly socketFolder: string;
  query(text: string): Promise<pg.QueryResult>;
  /** Ends it in good order. */
  stop(): Promise<void>;
  /** Starts it again after stop(). */
  start(): Promise<void>;
  /** Ends it as a loss of power does: SIGKILL. */
  kill(): Promise<void>;
  /** Copies its files while it runs, with the WAL that they need: a base backup, not started. */
  backUp(): Promise<Backup>;
  /** Stops it and removes its files. */
  remove(): Promise<void>;
}

/** A base backup of a cluster. */
interface Backup {
  /** Starts it as it is, as from a snapshot of a disk: it recovers to the end of the backup, on the same timeline. */
  restore(): Promise<Cluster>;
  /** Starts it as an asynchronous standby of a cluster. */
  follow(primary: Cluster): Promise<Standby>;
}

interface Standby extends Cluster {
  /** From now on it receives nothing more of its primary: what is committed there is lost when it takes over. */
  cutOff(): Promise<void>;
  /** Until it has everything that its primary has at this moment. */
  caughtUp(): Promise<void>;
  promote(): Promise<void>;
}

const run = promisify(execFile);
const clusterFolder = (folder: string): string => join(folder, "data", "postgres");

export async function startCluster(): Promise<Cluster> {
  return open(await newFolder());
}

async function open(folder: string): Promise<Cluster> {
  let server = await startEmbedded({ dataFolder: join(folder, "data") });
  const socketFolder = new URL(server.connectionString).searchParams.get("host") ?? "";
  const query = async (text: string): Promise<pg.QueryResult> => {
    const client = new pg.Client({ connectionString: server.connectionString });
    client.on("error", () => {});
    await client.connect();
    try {
      return await client.query(text);
    } finally {
      await client.end();
    }
  };
  const stop = (): Promise<void> => server.stop();
  return {
    socketFolder,
    query,
    stop,
    async start() {
      server = await startEmbedded({ dataFolder: join(folder, "data") });
    },
    async kill() {
      process.kill(server.pid, "SIGKILL");
      await server.stop();
    },
    backUp: () => backUp(server.connectionString, clusterFolder(folder)),
    async remove() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function backUp(connectionString: string, from: string): Promise<Backup> {
  const folder = await newFolder();
  const to = clusterFolder(folder);
  await mkdir(dirname(to), { mode: 0o755 });
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await client.query("SELECT pg_backup_start('test', true)");
    await run("cp", ["-a", from, to]);
    const { rows } = await client.query("SELECT labelfile FROM pg_backup_stop(false)");
    await run("cp", ["-a", `${join(from, "pg_wal")}/.`, join(to, "pg_wal")]);
    await rm(join(to, "postmaster.pid"));
    // The copied file has the owner that PostgreSQL runs as; it is written over, not made.
    await run("cp", ["-a", join(to, "PG_VERSION"), join(to, "backup_label")]);
    await writeFile(join(to, "backup_label"), rows[0].labelfile);
  } finally {
    await client.end();
  }
  return {
    restore: () => open(folder),
    async follow(primary) {
      await run("cp", ["-a", join(to, "PG_VERSION"), join(to, "standby.signal")]);
      await writeFile(
        join(to, "postgresql.auto.conf"),
        `primary_conninfo = 'host=${primary.socketFolder} port=5432 user=sendoff application_name=standby'\n`,
      );
      const standby = await open(folder);
      return asStandby(standby, primary);
    },
  };
}

function asStandby(standby: Cluster, primary: Cluster): Standby {
  return {
    ...standby,
    async cutOff() {
      await standby.query("ALTER SYSTEM SET primary_conninfo = ''");
      await standby.query("SELECT pg_reload_conf()");
      await until("nothing is received any more", async () => {
        const { rows } = await primary.query("SELECT FROM pg_stat_replication");
        return rows.length === 0;
      });
    },
    async caughtUp() {
      const { rows } = await primary.query("SELECT pg_current_wal_flush_lsn() AS lsn");
      await until("the standby has caught up", async () => {
        const found = await standby.query(
          `SELECT pg_last_wal_replay_lsn() >= '${rows[0].lsn}'::pg_lsn AS so`,
        );
        return found.rows[0].so;
      });
    },
    async promote() {
      await standby.query("SELECT pg_promote()");
    },
  };
}

/** An address that stays the same while what is behind it changes, as a proxy or a name does at a failover. */
export interface Relay {
  /** For DATABASE_URL. */
  readonly url: string;
  /** Ends all connections; from now on they lead to another cluster, or nowhere. */
  lead(to: Cluster | null): void;
  close(): Promise<void>;
}

export async function startRelay(): Promise<Relay> {
  let target: Cluster | null = null;
  const sockets = new Set<Socket>();
  const relay = createServer((incoming) => {
    if (target === null) return void incoming.destroy();
    const outgoing = connect(join(target.socketFolder, ".s.PGSQL.5432"));
    for (const [socket, other] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `postgresql://sendoff@127.0.0.1:${(relay.address() as AddressInfo).port}/sendoff?sslmode=disable`,
    lead(to) {
      target = to;
      cut();
    },
    async close() {
      cut();
      await new Promise((resolve) => relay.close(resolve));
    },
  };
}
