import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { StartFile } from "@sendoff/contract";
import { treeOf } from "./proc.ts";
import type { Scope } from "./scope.ts";
import { until } from "./time.ts";

const command = fileURLToPath(new URL("../../packages/cli/bin/sendoff.js", import.meta.url));
const startLimitMs = 60_000;

/** A process of Sendoff, as a user runs it, on a database of the benchmark's. */
export interface SendoffProcess {
  /** Of the command; a supervisor's child, where there is one, is below it. */
  readonly pid: number;
  /** The process that does the work: the supervisor's child. */
  workerPid(): number;
  /** Holds all of it up, as it stands, while something is prepared that it shall find. */
  pause(): void;
  resume(): void;
}

/** Where processes of Sendoff find what they share. */
export interface Site {
  readonly databaseUrl: string;
  /** Each process gets a data folder of its own in it. */
  readonly folder: string;
  /** Settings besides those that a benchmark always makes. */
  readonly settings: Readonly<Record<string, string>>;
}

/** `sendoff start`. @throws Error with the end of its output when it does not start. */
export async function startSendoff(
  scope: Scope,
  site: Site,
): Promise<SendoffProcess & { readonly start: StartFile }> {
  const process = await startProcess(scope, site, "start", "data");
  return { ...process, start: await readStart(site, "data") };
}

/** What a process of Sendoff does: all of it, or a part. */
export type Role = "start" | "api" | "worker";

/** Several processes on one database. */
export interface Spread {
  /** One for each that has an API. */
  readonly starts: readonly StartFile[];
  readonly pids: readonly number[];
}

/** @throws Error with the end of its output when one does not start. */
export async function startSpread(scope: Scope, site: Site, roles: readonly Role[]): Promise<Spread> {
  // One key for all, as on several machines.
  const settings = { SENDOFF_SECRET_KEY: randomBytes(32).toString("base64"), ...site.settings };
  const processes: SendoffProcess[] = [];
  const starts: StartFile[] = [];
  for (const [index, role] of roles.entries()) {
    const name = `${role}-${index + 1}`;
    processes.push(await startProcess(scope, { ...site, settings }, role, name));
    if (role !== "worker") starts.push(await readStart(site, name));
  }
  return { starts, pids: processes.map(({ pid }) => pid) };
}

async function readStart({ folder }: Site, name: string): Promise<StartFile> {
  return JSON.parse(await readFile(join(folder, name, "start.json"), "utf8")) as StartFile;
}

async function startProcess(
  scope: Scope,
  { databaseUrl, folder, settings }: Site,
  role: Role,
  name: string,
): Promise<SendoffProcess> {
  const dataFolder = join(folder, name);
  await mkdir(dataFolder, { recursive: true });
  const child = spawn(process.execPath, [command, role], {
    env: {
      ...withoutSettings(process.env),
      DATABASE_URL: databaseUrl,
      SENDOFF_DATA: dataFolder,
      SENDOFF_ALLOW_HTTP: "loopback",
      SENDOFF_LOG: "error",
      // What is measured is what Sendoff can do, not what it allows one key.
      SENDOFF_RATE_LIMIT: "9999999:9999999",
      // A worker alone has a port only when it is asked to.
      ...(role === "worker" ? {} : { PORT: "0" }),
      ...settings,
    },
    stdio: ["ignore", "pipe", "pipe"],
    // A group of its own: Ctrl-C is for the benchmark, which then ends the group.
    detached: true,
  });
  scope.add(() => signalGroup(child, "SIGKILL"));
  const output = lastOutputOf(child);
  await until(`sendoff ${role} runs`, startLimitMs, () => {
    if (child.exitCode !== null) {
      throw new Error(`sendoff ${role} ended with ${child.exitCode}:\n${output()}`);
    }
    return output().includes("Ctrl-C ends it.");
  });
  return {
    pid: child.pid ?? 0,
    workerPid: () => treeOf(child.pid ?? 0)[1] ?? child.pid ?? 0,
    pause: () => signalGroup(child, "SIGSTOP"),
    resume: () => signalGroup(child, "SIGCONT"),
  };
}

/** What somebody has set for a Sendoff of theirs is not for this one. */
function withoutSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(SENDOFF_|PORT$|HOST$)/.test(name)));
}

const keptOutput = 20_000;

function lastOutputOf(child: ChildProcess): () => string {
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => {
      text = (text + chunk.toString()).slice(-keptOutput);
    });
  }
  return () => text;
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
