import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { type EmbeddedPostgres, startEmbedded } from "./built-server.ts";
import type { Availability, ClockSample } from "./history.ts";
import type { Journal } from "./journal.ts";
import { nowNs, sleep } from "./monotonic.ts";
import { descendantsOf, identify, type ProcessId, signal } from "./proc.ts";
import type { Random } from "./random.ts";

/** Which processes of PostgreSQL a fault hits. */
export type PostgresPart = "postmaster" | "backend" | "all";

/** A PostgreSQL of the rig's own, which can be killed and stopped. */
export interface Cluster {
  readonly url: string;
  /** Kills -9; it is started again at once, with crash recovery. False when there was nothing to kill. */
  kill(part: PostgresPart): boolean;
  /** SIGSTOP; false when it is down or stopped already. */
  stop(part: "postmaster" | "all"): boolean;
  continue(): void;
  isUp(): boolean;
  /** Resolves once it answers again. */
  whenUp(): Promise<void>;
  /** Takes up to so many looks at the database's clock; none while it is down. */
  sampleClock(): Promise<ClockSample | null>;
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  end(): Promise<void>;
}

/** @param folder an empty one of its own, which accounts other than root's may pass. */
export async function startCluster(
  folder: string,
  journal: Journal<Availability>,
  random: Random,
): Promise<Cluster> {
  const dataFolder = join(folder, "postgres");
  await mkdir(dataFolder, { recursive: true });
  await chmod(folder, 0o755);
  let server: EmbeddedPostgres = await startEmbedded({ dataFolder });
  let postmaster = identify(server.pid);
  let stopped: ProcessId[] = [];
  let ending = false;
  let starting: Promise<void> = Promise.resolve();
  let probe: pg.Client | null = null;

  let isUp = false;
  const tell = (up: boolean): void => {
    isUp = up;
    journal.write({ ns: nowNs(), member: "postgres", roles: ["postgres"], up });
  };
  tell(true);

  /** Starts it until it runs: what a killed one left behind may stand in the way for a moment. */
  const startAgain = async (): Promise<void> => {
    while (!ending) {
      try {
        server = await startEmbedded({ dataFolder });
        postmaster = identify(server.pid);
        if (postmaster === null) continue;
        tell(true);
        return;
      } catch {
        await sleep(100);
      }
    }
  };

  const families = (): ProcessId[] => (postmaster === null ? [] : descendantsOf(postmaster.pid));

  /** After a backend's death the postmaster itself ends all others and recovers; it answers again when that is done. */
  const watchRecovery = async (): Promise<void> => {
    const watched = postmaster;
    await sleep(20);
    while (!ending && !(await answers(server.connectionString))) await sleep(20);
    // Killed once more meanwhile, its next start tells.
    if (watched === postmaster && stopped.length === 0) tell(true);
  };

  const cluster: Cluster = {
    url: server.connectionString,
    kill(part) {
      if (postmaster === null || stopped.length > 0) return false;
      if (part === "backend") {
        const children = families();
        const victim = children.length === 0 ? null : random.pick(children);
        if (victim === null || !signal(victim, "SIGKILL")) return false;
        tell(false);
        starting = watchRecovery();
        return true;
      }
      // The children first learn of it by the closed pipe; with "all" nothing is left that could write.
      const victims = part === "all" ? [postmaster, ...families()] : [postmaster];
      if (!signal(postmaster, "SIGKILL")) return false;
      for (const victim of victims) signal(victim, "SIGKILL");
      postmaster = null;
      tell(false);
      starting = startAgain();
      return true;
    },
    stop(part) {
      if (postmaster === null || stopped.length > 0) return false;
      const victims = part === "all" ? [postmaster, ...families()] : [postmaster];
      stopped = victims.filter((victim) => signal(victim, "SIGSTOP"));
      if (stopped.length > 0) tell(false);
      return stopped.length > 0;
    },
    continue() {
      if (stopped.length === 0) return;
      for (const victim of stopped) signal(victim, "SIGCONT");
      stopped = [];
      tell(true);
    },
    isUp: () => isUp,
    whenUp: () => starting,
    async sampleClock() {
      try {
        probe ??= await connect(server.connectionString);
        const beforeNs = nowNs();
        const { rows } = await probe.query("SELECT extract(epoch FROM clock_timestamp()) * 1000 AS ms");
        return { beforeNs, afterNs: nowNs(), databaseMs: Number(rows[0]?.ms) };
      } catch {
        await probe?.end().catch(() => {});
        probe = null;
        return null;
      }
    },
    async query(text, values = []) {
      const client = await connect(server.connectionString);
      try {
        return (await client.query(text, values)).rows;
      } finally {
        await client.end().catch(() => {});
      }
    },
    async end() {
      ending = true;
      cluster.continue();
      await probe?.end().catch(() => {});
      await starting.catch(() => {});
      const last = postmaster;
      if (last === null) return;
      const all = [last, ...families()];
      // Nothing in it is needed any more.
      for (const process of all) signal(process, "SIGKILL");
    },
  };
  return cluster;
}

async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 3_000, query_timeout: 10_000 });
  client.on("error", () => {});
  await client.connect();
  return client;
}

async function answers(connectionString: string): Promise<boolean> {
  try {
    const client = await connect(connectionString);
    await client.query("SELECT 1");
    await client.end();
    return true;
  } catch {
    return false;
  }
}
