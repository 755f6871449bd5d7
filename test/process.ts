import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { chmod, mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { StartFile } from "@sendoff/contract";
import { until } from "./until.ts";

const command = resolve(import.meta.dirname, "../packages/cli/bin/sendoff.js");

/** start.json of the first start on a database, which has made its keys. */
export type FirstStart = StartFile & {
  readonly inspectorUrl: string;
  readonly projectKey: string;
  readonly developerKey: string;
};

/** `sendoff start` in a process of its own, as a user runs it. */
export interface SendoffProcess {
  readonly child: ChildProcess;
  readonly start: FirstStart;
  /** What it has printed so far, on both streams. */
  output(): string;
  /** What it has printed on standard output: the log. */
  log(): string;
  /** Sends a signal and waits for the end; answers the exit code, or the signal that ended it. */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>;
}

/** Runs a `sendoff` command to its end. */
export async function runSendoff(
  args: readonly string[],
  env: Record<string, string>,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [command, ...args], { env: { ...process.env, ...env } });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, output: Buffer.concat(chunks).toString() };
}

/** What `npm start` runs: it installs and builds what is missing, and starts. */
export const npmStart = [resolve(import.meta.dirname, "../scripts/start.mjs")];

/**
 * Starts it and waits until it says that it runs. A worker alone writes no start.json; it shows the API's.
 *
 * @param script what Node.js runs, with its arguments; the command with the role when it is missing.
 */
export async function startProcess(
  env: Record<string, string>,
  role: "start" | "api" | "worker" = "start",
  script: readonly string[] = [command, role],
): Promise<SendoffProcess> {
  const child = spawn(process.execPath, script, { env: { ...process.env, ...env } });
  let text = "";
  let log = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    text += chunk;
    log += chunk;
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    text += chunk;
  });
  const ended = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  await until(
    `sendoff ${role} runs`,
    () => {
      if (child.exitCode !== null) throw new Error(`sendoff ${role} ended with ${child.exitCode}:\n${text}`);
      return text.includes("Ctrl-C ends it.");
    },
    60_000,
  );
  const start = JSON.parse(await readFile(join(env.SENDOFF_DATA ?? "", "start.json"), "utf8")) as FirstStart;
  return {
    child,
    start,
    output: () => text,
    log: () => log,
    async end(signal) {
      child.kill(signal);
      const [code, by] = await ended;
      return by ?? code ?? -1;
    },
  };
}

/** A new folder that any account may pass: as root, PostgreSQL runs as another one. */
export async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "sendoff-test-data-"));
  await chmod(folder, 0o755);
  return folder;
}

/** A process and its children, their children and so on, as Linux tells them. */
export function processTree(pid: number): number[] {
  const parents = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => [Number(name), statOf(Number(name))?.parent] as const);
  const below = (one: number): number[] => [
    one,
    ...parents.filter(([, parent]) => parent === one).flatMap(([child]) => below(child)),
  ];
  return below(pid);
}

/** Whether a process runs. A zombie has ended: only its parent never asked for it. */
export const isRunning = (pid: number): boolean => !["Z", "X", undefined].includes(statOf(pid)?.state);

function statOf(pid: number): { state: string; parent: number } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [state = "", parent = ""] = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { state, parent: Number(parent) };
  } catch {
    return null;
  }
}
