import { spawn } from "node:child_process";
import { once } from "node:events";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { debianPackages } from "../scripts/debian.mjs";
import { freePort, type OwnPostgres } from "./own-postgres.ts";
import { newFolder } from "./process.ts";
import { until } from "./until.ts";

/** PgBouncer as Debian has it, in front of a PostgreSQL. */
export interface PgBouncer {
  /** The address of the database behind it. */
  readonly url: string;
  stop(): Promise<void>;
}

export async function startPgBouncer(
  postgres: OwnPostgres,
  settings: Readonly<Record<string, string | number>>,
): Promise<PgBouncer> {
  const { root, env } = debianPackages(["pgbouncer"]);
  const folder = await newFolder();
  const port = await freePort();
  const file = join(folder, "pgbouncer.ini");
  const all = {
    listen_addr: "127.0.0.1",
    listen_port: port,
    unix_socket_dir: "",
    auth_type: "any",
    ...settings,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}`);
  const database = `* = host=127.0.0.1 port=${postgres.port} user=sendoff`;
  await writeFile(file, ["[databases]", database, "[pgbouncer]", ...lines, ""].join("\n"));
  // It refuses to work as root.
  const account = process.getuid?.() === 0 ? ["-u", "nobody"] : [];
  const child = spawn(join(root, "usr/sbin/pgbouncer"), [...account, file], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk;
    });
  }
  await until("PgBouncer listens", () => {
    if (child.exitCode !== null) throw new Error(`PgBouncer ended with ${child.exitCode}:\n${output}`);
    return output.includes("process up");
  });
  return {
    url: `postgres://sendoff@127.0.0.1:${port}/sendoff`,
    async stop() {
      const ended = once(child, "close");
      child.kill("SIGKILL");
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
