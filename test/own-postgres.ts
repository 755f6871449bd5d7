import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chown, cp, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { dirname, join } from "node:path";
import pg from "pg";
import { startEmbedded } from "../packages/server/src/database/embedded/embedded.ts";
import { newFolder } from "./process.ts";
import { until } from "./until.ts";

/**
 * A PostgreSQL for one test file, which listens on 127.0.0.1 with settings of the test's own. The one that all tests share
 * has no port, no TLS and no standby.
 */
export class OwnPostgres {
  readonly port: number;
  /** Holds the database's files, its pg_hba.conf and what {@link write} wrote. */
  readonly cluster: string;
  readonly #programs: string;
  readonly #settings: Readonly<Record<string, string>>;
  #process: ChildProcess | null = null;
  #output = "";

  private constructor(
    port: number,
    cluster: string,
    programs: string,
    settings: Readonly<Record<string, string>>,
  ) {
    this.port = port;
    this.cluster = cluster;
    this.#programs = programs;
    this.#settings = settings;
  }

  /** Makes a cluster; it does not run yet, so that files can be written first. */
  static async make(settings: Readonly<Record<string, string>> = {}): Promise<OwnPostgres> {
    const folder = await newFolder();
    const embedded = await startEmbedded({ dataFolder: join(folder, "data") });
    await embedded.stop();
    const place = dirname(embedded.clusterFolder);
    const programs = (await readdir(place)).find((name) => name.startsWith("postgres-bin-"));
    return new OwnPostgres(
      await freePort(),
      embedded.clusterFolder,
      join(place, programs ?? "", "bin"),
      settings,
    );
  }

  /** A copy of this server, which must be stopped, that follows it when both run. */
  async copyForStandby(): Promise<OwnPostgres> {
    const cluster = await mkdtemp(join(dirname(this.cluster), "standby-"));
    const { uid, gid } = await stat(this.cluster);
    await cp(this.cluster, cluster, { recursive: true, preserveTimestamps: true });
    for (const name of ["", ...(await readdir(cluster, { recursive: true }))])
      await chown(join(cluster, name), uid, gid);
    const standby = new OwnPostgres(await freePort(), cluster, this.#programs, {
      ...this.#settings,
      primary_conninfo: `host=127.0.0.1 port=${this.port} user=sendoff application_name=standby`,
    });
    await standby.write("standby.signal", "");
    return standby;
  }

  /** Writes a file beside the database's, which belongs to whom PostgreSQL runs as; answers its path. */
  async write(name: string, text: string): Promise<string> {
    const path = join(this.cluster, name);
    const { uid, gid } = await stat(this.cluster);
    await writeFile(path, text, { mode: 0o600 });
    await chown(path, uid, gid);
    return path;
  }

  async start(): Promise<void> {
    const { uid, gid } = await stat(this.cluster);
    const settings = {
      listen_addresses: "127.0.0.1",
      port: String(this.port),
      unix_socket_directories: "",
      shared_buffers: "16MB",
      fsync: "on",
      dynamic_shared_memory_type: "mmap",
      ...this.#settings,
    };
    const given = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const child = spawn(join(this.#programs, "postgres"), ["-D", this.cluster, ...given], {
      ...(process.getuid?.() === 0 ? { uid, gid } : {}),
      env: { LC_ALL: "C" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process = child;
    this.#output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        this.#output += chunk;
      });
    }
    await until("PostgreSQL accepts connections", () => {
      if (child.exitCode !== null)
        throw new Error(`PostgreSQL ended with ${child.exitCode}:\n${this.#output}`);
      return this.#output.includes("ready to accept");
    });
  }

  /** Fast shutdown: every connection is ended. */
  async stop(): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null) return;
    const ended = once(child, "close");
    child.kill("SIGINT");
    await ended;
  }

  /** Ends it and removes the cluster with all copies. */
  async remove(): Promise<void> {
    await this.stop();
    await rm(dirname(this.cluster), { recursive: true, force: true });
  }

  /** Its address, as `user` of `database`. */
  url(more = "", user = "sendoff", database = "sendoff"): string {
    return `postgres://${user}@127.0.0.1:${this.port}/${database}${more}`;
  }

  /** Runs SQL on a connection of its own. */
  async sql<Row extends pg.QueryResultRow>(text: string): Promise<Row[]> {
    const client = new pg.Client({ connectionString: this.url("?sslmode=disable") });
    await client.connect();
    try {
      return (await client.query<Row>(text)).rows;
    } finally {
      await client.end();
    }
  }
}

export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((done) => probe.listen(0, "127.0.0.1", done));
  const { port } = probe.address() as AddressInfo;
  await new Promise((done) => probe.close(done));
  return port;
}
