import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { debianPackages } from "../../../scripts/debian.mjs";
import { until } from "../../../test/until.ts";

/** A Redis of the test's own. */
export interface TestRedis {
  readonly port: number;
  stop(): Promise<void>;
}

/** A port that nothing listens on just now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

/** Starts a program and waits until it has printed something. */
export async function startProgram(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  isReady: (output: string) => boolean | Promise<boolean>,
): Promise<{ child: ChildProcess; stop(): Promise<void> }> {
  const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const ended = once(child, "exit");
  await until(
    `${command} runs`,
    () => {
      if (child.exitCode !== null) throw new Error(`${command} ended with ${child.exitCode}:\n${output}`);
      return isReady(output);
    },
    90_000,
  );
  return {
    child,
    async stop() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

export async function startRedis(): Promise<TestRedis> {
  const { env } = debianPackages(["redis-server"]);
  const folder = await mkdtemp(join(tmpdir(), "sendoff-test-redis-"));
  const port = await freePort();
  const { stop } = await startProgram(
    "redis-server",
    ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "yes"],
    env,
    (output) => output.includes("eady to accept connections"),
  );
  return {
    port,
    async stop() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
