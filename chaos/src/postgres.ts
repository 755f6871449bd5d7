import { spawn } from "node:child_process";
import { chownSync, closeSync, mkdirSync, openSync, readFileSync, statSync } from "node:fs";
import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { startEmbedded } from "./built-server.ts";
import { sleep } from "./monotonic.ts";
import { descendantsOf, identify, isAlive, type ProcessId, signal } from "./proc.ts";
import type { Random } from "./random.ts";

/** Which processes of PostgreSQL a fault hits. */
export type PostgresPart = "postmaster" | "backend" | "all";

/** How a server was started, by which it and others like it are started again. */
interface Launch {
  readonly program: string;
  readonly args: readonly string[];
  /** The folder that these arguments name. */
  readonly folder: string;
}

/**
 * One server of PostgreSQL in a folder of its own, and its processes. The launcher of the embedded PostgreSQL makes the
 * first; from then on the rig starts servers itself with the same arguments, which costs a busy machine much less.
 */
export class Postgres {
  readonly folder: string;
  #launch: Launch | null;
  #postmaster: ProcessId | null = null;
  #stopped: ProcessId[] = [];

  /** @param like the server of which this one is a copy. */
  constructor(folder: string, like: Postgres | null = null) {
    this.folder = folder;
    this.#launch = like === null ? null : like.#launch;
  }

  /** Starts it, and waits until it answers. */
  async start(goOn: () => boolean): Promise<void> {
    if (this.#launch === null) {
      await mkdir(this.folder, { recursive: true });
      await chmod(this.folder, 0o755);
      const { pid } = await startEmbedded({ dataFolder: this.folder });
      this.#postmaster = identify(pid);
      const [program = "", ...args] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
      this.#launch = { program, args, folder: this.folder };
      return;
    }
    // What a killed one left behind may stand in the way for a moment.
    while (goOn() && !(await this.#startAs(this.#launch, goOn))) await sleep(50);
  }

  async #startAs(launch: Launch, goOn: () => boolean): Promise<boolean> {
    const { uid, gid } = statSync(this.clusterFolder);
    const identity = process.getuid?.() === 0 ? { uid, gid } : {};
    mkdirSync(this.socketFolder, { recursive: true, mode: 0o700 });
    if (process.getuid?.() === 0) chownSync(this.socketFolder, uid, gid);
    const log = openSync(join(this.folder, "postgres.log"), "a");
    const { PATH, LD_LIBRARY_PATH } = process.env;
    const child = spawn(
      launch.program,
      launch.args.map((arg) => arg.replace(launch.folder, this.folder)),
      {
        ...identity,
        cwd: this.clusterFolder,
        detached: true,
        stdio: ["ignore", log, log],
        env: { PATH, LC_ALL: "C", ...(LD_LIBRARY_PATH === undefined ? {} : { LD_LIBRARY_PATH }) },
      },
    );
    closeSync(log);
    child.unref();
    child.on("error", () => {});
    const started = identify(child.pid ?? 0);
    while (goOn() && started !== null && isAlive(started)) {
      if (await this.#answers()) {
        this.#postmaster = started;
        return true;
      }
      await sleep(10);
    }
    if (started !== null) signal(started, "SIGKILL");
    return false;
  }

  async #answers(): Promise<boolean> {
    const client = new pg.Client({
      host: this.socketFolder,
      port: 5432,
      user: "sendoff",
      database: "postgres",
    });
    client.on("error", () => {});
    try {
      await client.connect();
      return true;
    } catch {
      return false;
    } finally {
      await client.end().catch(() => {});
    }
  }

  get socketFolder(): string {
    return join(this.folder, "postgres-socket");
  }

  get clusterFolder(): string {
    return join(this.folder, "postgres");
  }

  get runs(): boolean {
    return this.#postmaster !== null && isAlive(this.#postmaster);
  }

  /** The postmaster's, null when it is down. */
  get pid(): number | null {
    return this.#postmaster?.pid ?? null;
  }

  get isStopped(): boolean {
    return this.#stopped.length > 0;
  }

  #family(): ProcessId[] {
    return this.#postmaster === null ? [] : descendantsOf(this.#postmaster.pid);
  }

  /** Kills one backend; the postmaster then ends all others and recovers. False when there is none. */
  killBackend(random: Random): boolean {
    const children = this.#family();
    return children.length > 0 && signal(random.pick(children), "SIGKILL");
  }

  /** @returns false when it was down already. */
  kill(part: "postmaster" | "all"): boolean {
    const postmaster = this.#postmaster;
    if (postmaster === null) return false;
    // The children first learn of it by the closed pipe; with "all" nothing is left that could write.
    const victims = part === "all" ? this.#family() : [];
    const done = signal(postmaster, "SIGKILL");
    for (const victim of victims) signal(victim, "SIGKILL");
    this.#postmaster = null;
    this.#stopped = [];
    return done;
  }

  /** As `pg_ctl stop -m immediate`: all connections are cut, and the next start recovers. */
  stopImmediately(): boolean {
    const postmaster = this.#postmaster;
    this.#postmaster = null;
    return postmaster !== null && signal(postmaster, "SIGQUIT");
  }

  /** SIGSTOP; false when it is down or stopped already. */
  stop(part: "postmaster" | "all"): boolean {
    if (this.#postmaster === null || this.isStopped) return false;
    const victims = part === "all" ? [this.#postmaster, ...this.#family()] : [this.#postmaster];
    this.#stopped = victims.filter((victim) => signal(victim, "SIGSTOP"));
    return this.isStopped;
  }

  continue(): boolean {
    const was = this.isStopped;
    for (const victim of this.#stopped) signal(victim, "SIGCONT");
    this.#stopped = [];
    return was;
  }
}
