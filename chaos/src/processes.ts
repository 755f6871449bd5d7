import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import type { Availability } from "./history.ts";
import type { Journal } from "./journal.ts";
import { becomes, nowNs, sleep } from "./monotonic.ts";
import { descendantsOf, identify, type ProcessId, signal } from "./proc.ts";
import type { Random } from "./random.ts";

export type Role = "all" | "api" | "worker";
export type ProcessPart = "parent" | "child";

export interface FleetOptions {
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
  readonly folder: string;
  readonly journal: Journal<Availability>;
  readonly random: Random;
}

/** One Sendoff: a process, and where the server supervises itself the processes below it. */
export class Member {
  readonly name: string;
  readonly role: Role;
  readonly port: number;
  readonly #options: FleetOptions;
  #process: ChildProcess | null = null;
  #main: ProcessId | null = null;
  /** A process must be younger than the last fault to count as the one that works again. */
  #downSinceNs = 0;
  #stopped: ProcessId | null = null;
  #hadChild = false;
  #child: ProcessId | null = null;
  #up = false;
  #ending = false;
  /** Whatever ran under this name, so that the end of the run leaves nothing behind. */
  readonly #seen = new Map<string, ProcessId>();
  /** How often it ended by itself, with the end of its output: only kills of the rig are expected. */
  readonly deaths: string[] = [];
  #killed = false;

  constructor(name: string, role: Role, port: number, options: FleetOptions) {
    this.name = name;
    this.role = role;
    this.port = port;
    this.#options = options;
  }

  get up(): boolean {
    return this.#up;
  }

  /** Where it answers: a worker tells of its health. */
  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get outputPath(): string {
    return join(this.#options.folder, `${this.name}.log`);
  }

  start(): void {
    const output = openSync(this.outputPath, "a");
    const child = spawn(
      process.execPath,
      [this.#options.command, this.role === "all" ? "start" : this.role],
      {
        env: {
          ...this.#options.env,
          PORT: String(this.port),
        },
        stdio: ["ignore", output, output],
      },
    );
    closeSync(output);
    this.#process = child;
    this.#killed = false;
    this.#main = identify(child.pid ?? 0);
    this.#remember(this.#main);
    child.once("exit", (code, by) => {
      this.#setUp(false);
      this.#main = null;
      this.#process = null;
      if (this.#ending) return;
      if (!this.#killed) this.deaths.push(`${this.name} ended by itself (${by ?? code}): ${this.tail()}`);
      void this.#startLater();
    });
  }

  /** The end of what it printed. */
  tail(): string {
    return readFileSync(this.outputPath, "utf8").trim().split("\n").slice(-3).join(" | ").slice(-600);
  }

  /** What can be hit now: the process itself and those below it. */
  parts(): Array<{ part: ProcessPart; id: ProcessId }> {
    if (this.#main === null) return [];
    const children = descendantsOf(this.#main.pid);
    for (const child of children) this.#remember(child);
    return [
      { part: "parent" as const, id: this.#main },
      ...children.map((id) => ({ part: "child" as const, id })),
    ];
  }

  kill(part: ProcessPart, id: ProcessId): boolean {
    // A stopped child whose parent dies is a fault that the design excludes: nobody is left to watch it.
    if (part === "parent" && this.#stopped !== null && this.#stopped.pid !== id.pid) return false;
    if (!signal(id, "SIGKILL")) return false;
    if (part === "parent") this.#killed = true;
    if (this.#stopped?.pid === id.pid) this.#stopped = null;
    this.#setDown();
    return true;
  }

  stop(id: ProcessId): boolean {
    if (this.#stopped !== null || !signal(id, "SIGSTOP")) return false;
    this.#stopped = id;
    this.#setDown();
    return true;
  }

  /** False when the stopped process had ended meanwhile: its parent has killed it, or the nemesis. */
  continue(): boolean {
    const id = this.#stopped;
    this.#stopped = null;
    return id !== null && signal(id, "SIGCONT");
  }

  /** Looks whether it works; called several times a second. */
  async look(): Promise<void> {
    const parts = this.parts();
    this.#noticeChild(parts.find(({ part }) => part === "child")?.id ?? null);
    if (this.#up || this.#main === null || this.#stopped !== null) return;
    if (this.#hadChild && parts.length < 2) return;
    const asked = this.#downSinceNs;
    const ready = await answersReady(this.url);
    if (ready && asked === this.#downSinceNs && this.#stopped === null) this.#setUp(true);
  }

  /** One that ended though the rig had not killed it was killed by its parent, or has given up. */
  #noticeChild(child: ProcessId | null): void {
    if (child !== null) this.#hadChild = true;
    if (this.#child !== null && this.#child.pid !== child?.pid && this.#up && !this.#ending) {
      this.deaths.push(`a child of ${this.name} ended by itself: ${this.tail()}`);
      this.#setDown();
    }
    this.#child = child;
  }

  /** SIGTERM and, when it does not end within the limit, SIGKILL; true when it ended by itself with status 0. */
  async end(limitMs: number): Promise<boolean> {
    this.#ending = true;
    this.continue();
    const child = this.#process;
    if (child === null) return true;
    child.kill("SIGTERM");
    const inTime = await becomes(() => child.exitCode !== null || child.signalCode !== null, limitMs);
    this.destroy();
    return inTime && child.exitCode === 0;
  }

  /** Kills whatever is left, at once. */
  destroy(): void {
    this.#ending = true;
    this.parts();
    for (const id of this.#seen.values()) signal(id, "SIGKILL");
  }

  async #startLater(): Promise<void> {
    // Mostly soon, at most 2 s: as a supervisor of the machine would, with its back-off now and then.
    await sleep(2_000 * this.#options.random.next() ** 3);
    if (!this.#ending) this.start();
  }

  #remember(id: ProcessId | null): void {
    if (id !== null) this.#seen.set(`${id.pid} ${id.startTicks}`, id);
  }

  #setDown(): void {
    this.#downSinceNs = nowNs();
    this.#setUp(false);
  }

  #setUp(up: boolean): void {
    if (this.#up === up) return;
    this.#up = up;
    const roles = this.role === "all" ? (["api", "worker"] as const) : ([this.role] as const);
    this.#options.journal.write({ ns: nowNs(), member: this.name, roles, up });
  }
}

/** `/readyz` says that it works; a server without it answers its API's 404 and counts as ready. */
async function answersReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(1_000) });
    await response.arrayBuffer();
    return response.status < 500;
  } catch {
    return false;
  }
}

/** All Sendoff processes of a run. */
export class Fleet {
  readonly members: readonly Member[];
  readonly #watch: NodeJS.Timeout;

  constructor(members: readonly Member[]) {
    this.members = members;
    this.#watch = setInterval(() => {
      for (const member of members) member.look().catch(() => {});
    }, 100);
  }

  /** The APIs that are believed to answer; all of them when none is. */
  apis(): readonly Member[] {
    const withApi = this.members.filter((member) => member.role !== "worker");
    const up = withApi.filter((member) => member.up);
    return up.length > 0 ? up : withApi;
  }

  start(): void {
    for (const member of this.members) member.start();
  }

  /** Whether some member takes requests and some member delivers. */
  serves(): boolean {
    const up = (role: Role): boolean =>
      this.members.some((member) => member.up && (member.role === role || member.role === "all"));
    return up("api") && up("worker");
  }

  allUp(): boolean {
    return this.members.every((member) => member.up);
  }

  async end(limitMs: number): Promise<boolean> {
    clearInterval(this.#watch);
    const ended = await Promise.all(this.members.map((member) => member.end(limitMs)));
    return ended.every(Boolean);
  }

  destroy(): void {
    clearInterval(this.#watch);
    for (const member of this.members) member.destroy();
  }
}

/** A port that is free now, so that a killed API can come back on its own. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
