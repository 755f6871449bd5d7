import type { Running } from "@sendoff/server";
import { Command } from "commander";
import { CommandFailure, exitStatus, type Io } from "../io.ts";

/** `sendoff start`: all of Sendoff in this process, until Ctrl-C or SIGTERM. */
export function startCommand(io: Io): Command {
  return new Command("start")
    .description("Start Sendoff: PostgreSQL (unless DATABASE_URL is set), the API and the dispatcher.")
    .option("--log", "print the log lines (JSON) as well; on when the output is not a terminal")
    .addHelpText("after", settingsHelp)
    .action(async (options: { log?: boolean }) => start(io, options.log ?? !process.stdout.isTTY));
}

const settingsHelp = `
Settings are environment variables:
  PORT                 4600; 0 takes any free port
  HOST                 127.0.0.1
  SENDOFF_DATA         .sendoff; the embedded PostgreSQL, start.json, secret.key, recordings
  DATABASE_URL         a PostgreSQL 15 or later instead of the embedded one
  SENDOFF_ALLOW_HTTP   none, loopback or all: which http:// endpoints are let through
                       (loopback, but none with DATABASE_URL)
  SENDOFF_SECRET_KEY   32 bytes in base64 that seal secrets (made at the first start)
  SENDOFF_PUBLIC_URL   where others reach this installation
  SENDOFF_LOG          debug, info, warn, error or silent

Examples:
  $ sendoff start
  $ PORT=4700 SENDOFF_DATA=/var/lib/sendoff sendoff start
  $ DATABASE_URL=postgres://sendoff:secret@db:5432/sendoff sendoff start`;

async function start(io: Io, showLog: boolean): Promise<void> {
  const tell = (sentence: string): void => void io.stdout.write(`${sentence}\n`);
  // Loaded here, so that the other commands need not wait for a server's worth of code.
  const { StartError, startSendoff } = await import("@sendoff/server");
  const stop = stopSignal();
  const running = await startSendoff({
    env: process.env,
    onProgress: tell,
    ...(showLog ? {} : { logTo: { write: (line: string) => showProblem(io, line) } }),
  }).catch((error: unknown) => {
    if (error instanceof StartError) throw new CommandFailure(error.message, exitStatus.unusable);
    throw error;
  });
  tell(banner(running));
  tell(`\n${await stop}: finishing what is under way ...`);
  await running.stop();
  tell("Sendoff has ended. Its data stays where it is.");
}

/** Resolves with the first signal to end. A second one ends at once. */
function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    let asked = false;
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.on(signal, () => {
        if (asked) process.exit(130);
        asked = true;
        resolve(signal === "SIGINT" ? "Ctrl-C" : "SIGTERM");
      });
    }
  });
}

/** On a terminal only what went wrong is shown, as a sentence; all of it is one flag away. */
function showProblem(io: Io, line: string): void {
  const entry = JSON.parse(line) as { level: number; event?: string; reason?: string };
  const warn = 40;
  if (entry.level >= warn) io.stderr.write(`${entry.event ?? "problem"}: ${entry.reason ?? line.trim()}\n`);
}

function banner({ start, startPath }: Running): string {
  const rows: Array<[string, string]> = [
    ["API", start.apiUrl],
    ["Inspector", start.inspectorUrl],
    ["Project", start.projectId],
    ["Project key", start.projectKey],
    ["Developer key", start.developerKey],
    ["Written to", startPath],
  ];
  const lines = rows.map(([name, value]) => `  ${name.padEnd(14)} ${value}`);
  return [
    "",
    "Sendoff runs.",
    "",
    ...lines,
    "",
    "Next, in another terminal:",
    "  npx sendoff simulate    plays sessions through the API",
    "  npx sendoff tail        prints their webhooks as they arrive at the inspector",
    "",
    "Ctrl-C ends it.",
  ].join("\n");
}
