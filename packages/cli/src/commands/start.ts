import type { StartFile } from "@sendoff/contract";
import type { Role, Running } from "@sendoff/server";
import { Command } from "commander";
import { CommandFailure, exitStatus, type Io } from "../io.ts";
import { visible } from "../visible.ts";

/** `sendoff start`: all of Sendoff, until Ctrl-C or SIGTERM. */
export function startCommand(io: Io): Command {
  return new Command("start")
    .description("Start Sendoff: PostgreSQL (unless DATABASE_URL is set), the API and the deliveries.")
    .option("--log", "print the log lines (JSON) as well; on when the output is not a terminal")
    .addHelpText("after", settingsHelp)
    .action((options: LogOption) => runUntilSignal(io, options, "all"));
}

/** `sendoff api`: the half that takes reports. */
export function apiCommand(io: Io): Command {
  return new Command("api")
    .description("Start the API alone, on the PostgreSQL of DATABASE_URL; deliveries are made by workers.")
    .option("--log", "print the log lines (JSON) as well; on when the output is not a terminal")
    .addHelpText("after", settingsHelp)
    .action((options: LogOption) => runUntilSignal(io, options, "api"));
}

/** `sendoff worker`: the half that delivers. */
export function workerCommand(io: Io): Command {
  return new Command("worker")
    .description("Start a worker alone, on the PostgreSQL of DATABASE_URL: deliveries and deadlines.")
    .option("--log", "print the log lines (JSON) as well; on when the output is not a terminal")
    .addHelpText("after", settingsHelp)
    .action((options: LogOption) => runUntilSignal(io, options, "worker"));
}

interface LogOption {
  readonly log?: boolean;
}

const settingsHelp = `
Settings are environment variables:
  PORT                             4600; 0 takes any free port; a worker alone has a port only
                                   when it is set, for /healthz, /readyz and /metrics
  HOST                             127.0.0.1
  SENDOFF_DATA                     .sendoff; the embedded PostgreSQL, start.json, secret.key, recordings
  DATABASE_URL                     a PostgreSQL 15 or later instead of the embedded one; several hosts
                                   with commas between them, TLS by sslmode (docs/postgresql.md)
  SENDOFF_DATABASE_TIMEOUT         5s: how long a report or a probe waits for PostgreSQL
  SENDOFF_ALLOW_HTTP               none, loopback or all: which http:// endpoints are let through
                                   (loopback, but none with DATABASE_URL)
  SENDOFF_EGRESS_ALLOW             networks (CIDRs, with commas) that webhooks may go to although they
                                   are not public
  SENDOFF_EGRESS_DENY              networks that webhooks may not go to, whatever else is open
  SENDOFF_EGRESS_PORTS             ports beside 443 and 8443, such as 8080,9000-9100
  SENDOFF_EGRESS_NAT64             off; on: this network reaches IPv4 through 64:ff9b::/96
  SENDOFF_SECRET_KEY               32 bytes in base64 that seal secrets (made at the first start);
                                   processes on several machines need the same
  SENDOFF_SECRET_KEYS_OLD          keys of before, with commas between them, while the key is changed
  SENDOFF_PUBLIC_URL               where others reach this installation
  SENDOFF_CONVERSATION_GRACE       30s: how long to wait for a conversation's end after the call's
  SENDOFF_CALL_GRACE               5m: how long to wait for a call's end after the conversation's
  SENDOFF_SESSION_TIMEOUT          6h: how long to wait for any report
  SENDOFF_RETENTION                30d: how long sessions, events and attempts are kept
  SENDOFF_IN_FLIGHT_MAX            1024: most attempts under way in a process
  SENDOFF_ENDPOINT_IN_FLIGHT_MAX   32: most attempts under way to one endpoint
  SENDOFF_RATE_LIMIT               20000:40000: requests a second of one key, and how many more in 10 s
  SENDOFF_WRONG_KEY_LIMIT          60: requests with a wrong key in a minute from one address
  SENDOFF_TRUSTED_PROXIES          addresses and ranges whose X-Forwarded-For is believed; none
  SENDOFF_UPLOAD_BYTES_MAX         1GiB: most bytes of one recording that is uploaded
  SENDOFF_UPLOAD_TIME_MAX          2h: how long one upload may take
  SENDOFF_UPLOAD_RATE              1KiB:32MiB: bytes a second of one upload at least, and of all uploads
                                   of a project at most
  SENDOFF_PROJECT_UPLOADS_MAX      16: most uploads of one project at a time in a process
  SENDOFF_PROJECT_RECORDINGS_MAX   100GiB: what the uploads of one project hold
  SENDOFF_DISK_RESERVE             2GiB: what uploads leave free of the disk, for PostgreSQL
  SENDOFF_ADDRESS_CONNECTIONS_MAX  2000: most open connections of one address; trusted proxies have no
                                   bound of their own
  SENDOFF_LOG                      debug, info, warn, error or silent

Examples:
  $ sendoff start
  $ PORT=4700 SENDOFF_DATA=/var/lib/sendoff sendoff start
  $ DATABASE_URL=postgres://sendoff:secret@db:5432/sendoff sendoff api
  $ DATABASE_URL=postgres://sendoff:secret@db:5432/sendoff sendoff worker`;

async function runUntilSignal(io: Io, options: LogOption, role: Role): Promise<void> {
  const stop = stopSignal();
  const running = await begin(io, options.log ?? !process.stdout.isTTY, role);
  io.stdout.write(`${running.start === null ? workerBanner : banner(running.start, running.startPath)}\n`);
  io.stdout.write(`\n${await stop}: finishing what is under way ...\n`);
  await running.stop();
  io.stdout.write("Sendoff has ended. Its data stays where it is.\n");
}

async function begin(io: Io, showLog: boolean, role: Role): Promise<Running> {
  // Loaded here, so that the other commands need not wait for a server's worth of code.
  const { StartError, startSendoff, superviseSendoff } = await import("@sendoff/server");
  // Log lines go to standard error: what is on standard output is for people.
  const onLog = (line: string): void => {
    if (showLog) io.stderr.write(line);
    else showProblem(io, line);
  };
  const onProgress = (sentence: string): void => void io.stdout.write(`${sentence}\n`);
  try {
    // Whoever delivers is watched over; the API alone needs nobody for that.
    if (role === "api") return await startSendoff({ role, env: process.env, logTo: { write: onLog } });
    return await superviseSendoff({ role, env: process.env, onProgress, onLog });
  } catch (error) {
    if (error instanceof StartError) throw new CommandFailure(error.message, exitStatus.unusable);
    throw error;
  }
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
  const warn = 40;
  try {
    const entry = JSON.parse(line) as { level: number; event?: string; reason?: string };
    if (entry.level >= warn)
      io.stderr.write(`${entry.event ?? "problem"}: ${visible(entry.reason ?? line.trim(), 1_000)}\n`);
  } catch {
    // Not a log line of ours: what Node itself says of an end that nobody expected.
    io.stderr.write(line);
  }
}

const workerBanner = `
The worker runs: it delivers what is due.

Ctrl-C ends it.`;

function banner(start: StartFile, startPath: string): string {
  const rows: Array<[string, string]> = [
    ["Dashboard", `${start.signInUrl} (signs you in once, within an hour)`],
    ["API", start.apiUrl],
    ["Inspector", `${start.inspectorUrl} (open it in a browser)`],
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
