import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { StartFile } from "@sendoff/contract";
import { treeOf } from "./proc.ts";
import type { Scope } from "./scope.ts";
import { until } from "./time.ts";

const command = fileURLToPath(new URL("../../packages/cli/bin/sendoff.js", import.meta.url));
const startLimitMs = 60_000;

/** `sendoff start`, as a user runs it, on a database of the benchmark's. */
export interface SendoffProcess {
  readonly start: StartFile;
  /** The process that does the work: the supervisor's child. */
  workerPid(): number;
  /** Holds all of it up, as it stands, while something is prepared that it shall find. */
  pause(): void;
  resume(): void;
}

/** @throws Error with the end of its output when it does not start. */
export async function startSendoff(
  scope: Scope,
  dataFolder: string,
  databaseUrl: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<SendoffProcess> {
  await mkdir(dataFolder, { recursive: true });
  const child = spawn(process.execPath, [command, "start"], {
    env: {
      ...withoutSettings(process.env),
      DATABASE_URL: databaseUrl,
      SENDOFF_DATA: dataFolder,
      SENDOFF_ALLOW_HTTP: "loopback",
      SENDOFF_LOG: "error",
      PORT: "0",
      ...settings,
    },
    stdio: ["ignore", "pipe", "pipe"],
    // A group of its own: Ctrl-C is for the benchmark, which then ends the group.
    detached: true,
  });
  scope.add(() => signalGroup(child, "SIGKILL"));
  const output = lastOutputOf(child);
  await until("sendoff start runs", startLimitMs, () => {
    if (child.exitCode !== null) throw new Error(`sendoff start ended with ${child.exitCode}:\n${output()}`);
    return output().includes("Ctrl-C ends it.");
  });
  const start = JSON.parse(await readFile(join(dataFolder, "start.json"), "utf8")) as StartFile;
  return {
    start,
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
