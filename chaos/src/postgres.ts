import { chmod, mkdir } from "node:fs/promises";
import { type EmbeddedPostgres, startEmbedded } from "./built-server.ts";
import { sleep } from "./monotonic.ts";
import { descendantsOf, identify, isAlive, type ProcessId, signal } from "./proc.ts";
import type { Random } from "./random.ts";

/** Which processes of PostgreSQL a fault hits. */
export type PostgresPart = "postmaster" | "backend" | "all";

/** One server of PostgreSQL in a folder of its own, and its processes. */
export class Postgres {
  readonly folder: string;
  #server: EmbeddedPostgres | null = null;
  #postmaster: ProcessId | null = null;
  #stopped: ProcessId[] = [];

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Starts it, and waits until it answers. What a killed one left behind may stand in the way for a moment. */
  async start(goOn: () => boolean): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    await chmod(this.folder, 0o755);
    while (goOn()) {
      try {
        this.#server = await startEmbedded({ dataFolder: this.folder });
        this.#postmaster = identify(this.#server.pid);
        if (this.#postmaster !== null) return;
      } catch (error) {
        if (this.#server === null) throw error;
        await sleep(100);
      }
    }
  }

  get socketFolder(): string {
    const host = new URL(this.#server?.connectionString ?? "postgresql://none").searchParams.get("host");
    if (host === null) throw new Error(`PostgreSQL in ${this.folder} was never started`);
    return host;
  }

  get clusterFolder(): string {
    return this.#server?.clusterFolder ?? `${this.folder}/postgres`;
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
