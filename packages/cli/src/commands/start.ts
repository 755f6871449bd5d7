import type { Role, Running } from "@sendoff/server";
import { Command } from "commander";
import { banner, workerBanner } from "../banner.ts";
import { CommandFailure, exitStatus, type Io } from "../io.ts";
import { visible } from "../visible.ts";

/** `sendoff start`: all of Sendoff, until Ctrl-C or SIGTERM. */
export function startCommand(io: Io): Command {
  return new Command("start")
    .description("Start Sendoff: PostgreSQL (unless DATABASE_URL is set), the API and the deliveries.")
    .option("--log", logHelp)
    .addHelpText("after", settingsHelp)
    .action((options: LogOption) => runUntilSignal(io, options, "all"));
}

/** `sendoff api`: the half that takes reports. */
export function apiCommand(io: Io): Command {
  return new Command("api")
    .description("Start the API alone, on the PostgreSQL of DATABASE_URL; deliveries are made by workers.")
    .option("--log", logHelp)
    .addHelpText("after", settingsHelp)
    .action((options: LogOption) => runUntilSignal(io, options, "api"));
}

/** `sendoff worker`: the half that delivers. */
export function workerCommand(io: Io): Command {
  return new Command("worker")
    .description("Start a worker alone, on the PostgreSQL of DATABASE_URL: deliveries and deadlines.")
    .option("--log", logHelp)
    .addHelpText("after", settingsHelp)
    .action((options: LogOption) => runUntilSignal(io, options, "worker"));
}

const logHelp = "print the log lines (JSON) as well; on when standard output is not a terminal";

interface LogOption {
  readonly log?: boolean;
}

const settingsHelp = `
Log lines go to standard output, one line of JSON each, and words for people to standard error.
Keys and the sign-in link are shown on a terminal alone; start.json in SENDOFF_DATA has them.
SIGTERM and Ctrl-C end it when what is under way is finished; a second one ends it at once.

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
  SENDOFF_RATE_LIMIT               20000:40000: requests and reports a second of one key, and how many more in 10 s
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

// Log lines go to standard output, where they are collected, and words for people to standard error: on one stream neither
// could be read.
async function runUntilSignal(io: Io, options: LogOption, role: Role): Promise<void> {
  const stop = stopSignal();
  const running = await begin(io, options.log ?? io.stdout.isTTY !== true, role);
  const { start, startPath } = running;
  const toTerminal = io.stderr.isTTY === true;
  io.stderr.write(`${start === null ? workerBanner : banner({ start, startPath, toTerminal })}\n`);
  io.stderr.write(`\n${await stop}: finishing what is under way ...\n`);
  await running.stop();
  io.stderr.write("Sendoff has ended. Its data stays where it is.\n");
}

async function begin(io: Io, showLog: boolean, role: Role): Promise<Running> {
  // Loaded here, so that the other commands need not wait for a server's worth of code.
  const { StartError, startSendoff, superviseSendoff } = await import("@sendoff/server");
  const onLog = (line: string): void => {
    if (showLog) io.stdout.write(line);
    else showProblem(io, line);
  };
  const onOther = (line: string): void => void io.stderr.write(line);
  const onProgress = (sentence: string): void => void io.stderr.write(`${sentence}\n`);
  try {
    // Whoever delivers is watched over; the API alone needs nobody for that.
    if (role === "api") return await startSendoff({ role, env: process.env, logTo: { write: onLog } });
    return await superviseSendoff({ role, env: process.env, onProgress, onLog, onOther });
  } catch (error) {
    if (error instanceof StartError) throw new CommandFailure(error.message, exitStatus.unusable);
    throw error;
  }
}

/**
 * A signal that comes so soon after the first is the same one, in milliseconds: Ctrl-C goes to all that the terminal runs,
 * and npm hands its own on.
 */
const sameSignalMs = 1_000;

/** Resolves with the first signal to end. A second one ends at once. */
function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    let askedMs: number | null = null;
    for (const [signal, name, status] of [
      ["SIGINT", "Ctrl-C", 130],
      ["SIGTERM", "SIGTERM", 143],
    ] as const) {
      process.on(signal, () => {
        if (askedMs !== null && performance.now() - askedMs > sameSignalMs) process.exit(status);
        askedMs ??= performance.now();
        resolve(name);
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
    // Not a log line of ours: something that a library has printed.
    io.stderr.write(line);
  }
}
