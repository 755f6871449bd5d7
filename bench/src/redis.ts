import { spawn, spawnSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { CannotRun } from "./benchmark.ts";
import type { Scope } from "./scope.ts";
import { until } from "./time.ts";

/** How often Redis writes its append-only file through to the disk: with each write, or once a second. */
export type AppendFsync = "always" | "everysec";

export interface Redis {
  readonly socket: string;
  readonly pid: number;
}

const startLimitMs = 10_000;

/** @returns Redis's version. @throws CannotRun when there is no redis-server. */
export function findRedis(): string {
  const { stdout, error } = spawnSync("redis-server", ["--version"], { encoding: "utf8" });
  if (error !== undefined) {
    throw new CannotRun(
      "redis-server is not there, and BullMQ needs it. On Debian and Ubuntu: apt-get install redis-server (as root). It need not run: the benchmark starts one of its own.",
    );
  }
  return /v=([\d.]+)/.exec(stdout)?.[1] ?? "unknown";
}

/** Starts a Redis of the benchmark's own, reached by a socket in the folder. */
export async function startRedis(scope: Scope, parent: string, appendFsync: AppendFsync): Promise<Redis> {
  const folder = join(parent, "redis");
  await mkdir(folder);
  const socket = join(folder, "redis.sock");
  const settings = {
    port: "0",
    unixsocket: socket,
    dir: folder,
    save: "",
    appendonly: "yes",
    appendfsync: appendFsync,
    "maxmemory-policy": "noeviction",
  };
  const child = spawn(
    "redis-server",
    Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  scope.add(() => void child.kill());
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  await until("redis-server runs", startLimitMs, () => {
    if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}:\n${output}`);
    return output.includes("eady to accept connections");
  });
  return { socket, pid: child.pid ?? 0 };
}
