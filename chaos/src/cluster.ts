import { chmod, rename, symlink } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import type { Availability, ClockSample } from "./history.ts";
import type { Journal } from "./journal.ts";
import { becomes, nowNs, secondNs, sleep } from "./monotonic.ts";
import { Postgres, type PostgresPart } from "./postgres.ts";
import type { Random } from "./random.ts";
import { mountSmallDisk, type SmallDisk } from "./small-disk.ts";
import { copyForStandby } from "./standby.ts";

/** Names the rig's own connections, which a fault leaves alone. */
export const rigName = "rig";
/** The rig's own database, so that the server under test has its own to itself. */
const rigDatabase = "postgres";
const sendoffDatabase = "sendoff";
/** How long a new standby may take to follow, in milliseconds. */
const standbyMaxMs = 10_000;

// The log of changes must stay small on a small disk, and be there for a standby that is made from a copy.
const settings = {
  max_wal_size: "256MB",
  min_wal_size: "80MB",
  wal_keep_size: "128MB",
  wal_retrieve_retry_interval: "100ms",
};

/** @param folder an empty one of its own, which accounts other than root's may pass. */
export async function startCluster(
  folder: string,
  journal: Journal<Availability>,
  random: Random,
): Promise<Cluster> {
  await chmod(folder, 0o755);
  const disk = await mountSmallDisk(join(folder, "postgres"));
  const cluster = new Cluster(folder, disk, journal, random);
  try {
    await cluster.begin();
  } catch (error) {
    await cluster.end();
    throw error;
  }
  return cluster;
}

/**
 * A PostgreSQL of the rig's own, which can be killed and stopped. It is reached by one address, a link to the socket of
 * the server that is the primary, whichever that is.
 */
export class Cluster {
  /** null where a small file system cannot be mounted. */
  readonly disk: SmallDisk | null;
  readonly #address: string;
  readonly #folder: string;
  readonly #journal: Journal<Availability>;
  readonly #random: Random;
  #primary: Postgres;
  #standby: Postgres | null = null;
  #isUp = false;
  /** A move has it to itself. */
  #taken = false;
  #ending = false;
  #starting: Promise<void> = Promise.resolve();
  #probe: pg.Client | null = null;

  constructor(folder: string, disk: SmallDisk | null, journal: Journal<Availability>, random: Random) {
    this.disk = disk;
    this.#folder = folder;
    this.#address = join(folder, "address");
    this.#journal = journal;
    this.#random = random;
    this.#primary = new Postgres(join(folder, "postgres", "a"));
  }

  /** Where the server under test reaches it. */
  get url(): string {
    return this.#urlOf(this.#address, sendoffDatabase);
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  async begin(): Promise<void> {
    await this.#startPrimary();
    await this.#pointAt(this.#primary);
    const admin = await this.connect();
    for (const [name, value] of Object.entries(settings)) {
      await admin.query(`ALTER SYSTEM SET ${name} = '${value}'`);
    }
    await admin.query("SELECT pg_reload_conf()");
    await admin.query("CREATE TABLE probe (at timestamptz, padding text)");
    // As long as it looks: each second row needs a new page of the file.
    await admin.query("ALTER TABLE probe ALTER COLUMN padding SET STORAGE PLAIN");
    await admin.end();
    this.tell(true);
  }

  /** Notes that it can be worked with, or cannot. */
  tell(up: boolean): void {
    this.#isUp = up;
    this.#journal.write({ ns: nowNs(), member: "postgres", roles: ["postgres"], up });
  }

  /** Keeps others' faults away from PostgreSQL until it is given back; false when it is not well at the moment. */
  take(): boolean {
    if (this.#taken || !this.#isUp || this.#primary.isStopped) return false;
    this.#taken = true;
    return true;
  }

  giveBack(): void {
    this.#taken = false;
  }

  /** Kills -9; it is started again at once, with crash recovery. False when there was nothing to kill. */
  kill(part: PostgresPart): boolean {
    if (this.#taken || this.#primary.isStopped) return false;
    const done = part === "backend" ? this.#primary.killBackend(this.#random) : this.#primary.kill(part);
    if (!done) return false;
    this.tell(false);
    this.#starting = part === "backend" ? this.#watchRecovery() : this.#startAgain();
    return true;
  }

  /** SIGSTOP; false when it is down or stopped already. */
  stop(part: "postmaster" | "all"): boolean {
    if (this.#taken || !this.#primary.stop(part)) return false;
    this.tell(false);
    return true;
  }

  continue(): void {
    if (!this.#taken && this.#primary.continue()) this.tell(true);
  }

  /** Resolves once it answers again. */
  whenUp(): Promise<void> {
    return this.#starting;
  }

  // For moves, which have taken it.

  /** Stops it with SIGSTOP, all of it. */
  freeze(): boolean {
    return this.#primary.stop("all");
  }

  thaw(): void {
    this.#primary.continue();
  }

  /** Ends it; it stays away until it is started again. */
  goAway(how: "killed" | "stopped"): boolean {
    return how === "killed" ? this.#primary.kill("all") : this.#primary.stopImmediately();
  }

  /** Starts it when it does not run, and waits until it can be written. @returns until when it certainly was not. */
  async comeBack(): Promise<number> {
    let refusedNs = nowNs();
    for (;;) {
      const askedNs = nowNs();
      if (this.#ending || (await this.canWrite())) return refusedNs;
      // What took long was not refused: on a busy machine it was late.
      if (nowNs() - askedNs < secondNs) refusedNs = askedNs;
      if (!this.#primary.runs) await this.#startPrimary();
      else await sleep(10);
    }
  }

  /** Whether a new connection gets a row committed. */
  async canWrite(): Promise<boolean> {
    let client: pg.Client | null = null;
    try {
      client = await this.connect();
      await client.query("INSERT INTO probe SELECT now(), repeat('x', 4000)");
      return true;
    } catch {
      return false;
    } finally {
      await client?.end().catch(() => {});
    }
  }

  /** Makes a standby and waits until no commit is confirmed without it. */
  async makeStandby(): Promise<boolean> {
    const name = this.#primary.folder.endsWith("a") ? "b" : "a";
    const standby = new Postgres(join(this.#folder, "postgres", name), this.#primary);
    this.#standby = standby;
    const admin = await this.connect();
    try {
      await copyForStandby(admin, this.#primary, standby);
      await standby.start(() => !this.#ending);
      await admin.query("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
      await admin.query("SELECT pg_reload_conf()");
      const isSync = "SELECT FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'";
      const finds = async (text: string): Promise<boolean> => (await admin.query(text)).rows.length > 0;
      if (!(await becomes(() => finds(isSync), standbyMaxMs))) return false;
      // What was confirmed without it before must be there, too.
      const { rows } = await admin.query<{ lsn: string }>("SELECT pg_current_wal_flush_lsn() AS lsn");
      return await becomes(() => finds(`${isSync} AND flush_lsn >= '${rows[0]?.lsn}'`), standbyMaxMs);
    } finally {
      await admin.end().catch(() => {});
    }
  }

  /** Gives the standby up again. */
  async dropStandby(): Promise<void> {
    const admin = await this.connect();
    await admin.query("ALTER SYSTEM RESET synchronous_standby_names");
    await admin.query("SELECT pg_reload_conf()");
    await admin.end();
    this.#standby?.kill("all");
    this.#standby = null;
  }

  /**
   * Kills the primary -9, and makes the standby the primary a while later.
   *
   * @param addressFirst the address leads to the standby already while that is still read-only.
   */
  async failOver(addressFirst: boolean, afterMs: number): Promise<void> {
    const standby = this.#standby;
    if (standby === null) throw new Error("there is no standby to promote");
    this.#primary.kill("all");
    this.#primary = standby;
    this.#standby = null;
    if (addressFirst) await this.#pointAt(standby);
    await sleep(afterMs);
    const admin = await connect(this.#urlOf(standby.socketFolder, rigDatabase));
    await admin.query("SELECT pg_promote(true, 30)");
    await admin.end();
    if (!addressFirst) await this.#pointAt(standby);
  }

  /** A connection of the rig's own. */
  async connect(to: "rig" | "sendoff" = "rig"): Promise<pg.Client> {
    return await connect(this.#urlOf(this.#address, to === "rig" ? rigDatabase : sendoffDatabase));
  }

  /** Takes up to so many looks at the database's clock; none while it is down. */
  async sampleClock(): Promise<ClockSample | null> {
    try {
      this.#probe ??= await this.connect();
      const beforeNs = nowNs();
      const { rows } = await this.#probe.query("SELECT extract(epoch FROM clock_timestamp()) * 1000 AS ms");
      return { beforeNs, afterNs: nowNs(), databaseMs: Number(rows[0]?.ms) };
    } catch {
      await this.#probe?.end().catch(() => {});
      this.#probe = null;
      return null;
    }
  }

  async query<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    const client = await this.connect("sendoff");
    try {
      return (await client.query(text, values)).rows;
    } finally {
      await client.end().catch(() => {});
    }
  }

  async end(): Promise<void> {
    this.#ending = true;
    this.#primary.continue();
    await this.#probe?.end().catch(() => {});
    await this.#starting.catch(() => {});
    // Nothing in it is needed any more.
    this.#primary.kill("all");
    this.#standby?.kill("all");
    await this.disk?.end();
  }

  #urlOf(socketFolder: string, database: string): string {
    return `postgresql://sendoff@localhost/${database}?host=${encodeURIComponent(socketFolder)}&port=5432&sslmode=disable`;
  }

  #startPrimary(): Promise<void> {
    return this.#primary.start(() => !this.#ending);
  }

  async #startAgain(): Promise<void> {
    await this.#startPrimary();
    if (!this.#ending) this.tell(true);
  }

  /** After a backend's death the postmaster itself ends all others and recovers; it answers again when that is done. */
  async #watchRecovery(): Promise<void> {
    const watched = this.#primary.pid;
    await sleep(20);
    while (!this.#ending && !(await this.canWrite())) await sleep(20);
    // Killed once more meanwhile, its next start tells.
    if (watched === this.#primary.pid && !this.#primary.isStopped) this.tell(true);
  }

  /** Replaces the link by one rename: at no instant is there none. */
  async #pointAt(server: Postgres): Promise<void> {
    await symlink(server.socketFolder, `${this.#address}-new`);
    await rename(`${this.#address}-new`, this.#address);
  }
}

async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString,
    application_name: rigName,
    // A busy machine takes long for a connection, and a move that cannot be undone ends the run.
    connectionTimeoutMillis: 30_000,
    query_timeout: 30_000,
  });
  client.on("error", () => {});
  await client.connect();
  return client;
}
