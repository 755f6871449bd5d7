/** Runs the programs that the embedded PostgreSQL consists of, where needed under another account. */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { codeOf, EmbeddedPostgresError, USE_ANOTHER } from "./error.ts";

/** A user of the machine, as in /etc/passwd. */
export interface Account {
  name: string;
  uid: number;
  gid: number;
}

/** How a program ended, and what it wrote to its standard output and error output together. */
export interface Ended {
  /** Null when a signal ended it. */
  exitCode: number | null;
  output: string;
}

/** Runs a program to its end. Rejects only when it could not be started. */
export async function run(program: string, args: string[], account: Account | null): Promise<Ended> {
  const child = await launch(program, args, account, { cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  return await new Promise((resolve) => {
    child.once("close", (exitCode) => resolve({ exitCode, output }));
  });
}

/** Starts a program and comes back when it runs, or throws the sentence that says why it cannot. */
export async function launch(
  program: string,
  args: string[],
  account: Account | null,
  options: SpawnOptions,
): Promise<ChildProcess> {
  const identity = account === null ? {} : { uid: account.uid, gid: account.gid };
  const child = spawn(program, args, { ...options, ...identity, env: { ...environment(), ...options.env } });
  return await new Promise((resolve, reject) => {
    child.once("spawn", () => resolve(child));
    child.once("error", (error) => reject(cannotRun(program, account, error)));
  });
}

/**
 * Only what a program needs to be found and loaded. The rest stays away: PG* variables would change what
 * PostgreSQL does, and another account has no business with this process's secrets.
 */
function environment(): Record<string, string> {
  const kept: Record<string, string> = { LC_ALL: "C" };
  for (const name of ["PATH", "LD_LIBRARY_PATH", "NIX_LD", "NIX_LD_LIBRARY_PATH"]) {
    const value = process.env[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}

function cannotRun(program: string, account: Account | null, error: Error): EmbeddedPostgresError {
  const code = codeOf(error);
  const who = account === null ? "" : ` as user ${account.name}`;
  let reason = error.message;
  if (code === "ENOENT") {
    // The kernel says the same of a missing program and of a missing loader that the program names.
    reason = existsSync(program)
      ? "it is built for glibc, which this system does not have (Alpine has musl)"
      : "it does not exist";
  } else if (account !== null && (code === "EPERM" || code === "EINVAL")) {
    reason = `PostgreSQL does not run as root, and this system does not let root change to another user (${code})`;
  }
  return new EmbeddedPostgresError(`${program} cannot be run${who}: ${reason}. ${USE_ANOTHER}`, {
    cause: error,
  });
}
