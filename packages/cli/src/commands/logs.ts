import { setTimeout as sleep } from "node:timers/promises";
import { WebhookLog, WebhookLogDetail } from "@sendoff/contract";
import { Command } from "commander";
import { Api, NoAnswer } from "../api.ts";
import { type ConnectionFlags, findConnection, withProjectFlags } from "../connection.ts";
import { CommandFailure, type Io } from "../io.ts";
import { moment, wholeNumber } from "../options.ts";
import { ask, dataAs, type Page, pageOf, queryOf } from "../paged.ts";
import { tableText } from "../table.ts";
import { jsonLine, visible } from "../visible.ts";

interface LogsFlags extends ConnectionFlags {
  readonly session?: string;
  readonly event?: string;
  readonly outcome?: string;
  readonly endpoint?: string;
  readonly from?: string;
  readonly to?: string;
  readonly limit: number;
  readonly follow?: true;
  readonly json?: true;
}

const pageMax = 500;
const pollMs = 1_000;
/** Rows are committed out of order: a row may turn up behind newer ones for so long, in ms. The longest attempt is 30 s. */
const lateMaxMs = 60_000;

const help = `
Examples:
  $ sendoff logs                                        the latest 20 attempts
  $ sendoff logs --session call-1                       all of a session's
  $ sendoff logs --outcome rejected,timed_out,unreachable --from 2026-05-03T00:00:00Z --limit 500
  $ sendoff logs 77                                     one attempt, with what was sent and what came back
  $ sendoff logs --follow --json | jq .outcome`;

/** `sendoff logs`: the attempts of a project. */
export function logsCommand(io: Io): Command {
  return withProjectFlags(new Command("logs"))
    .description("show attempts: the rows of webhook_logs, or one of them whole")
    .argument("[id]", "the row to show whole")
    .option("--session <id>", "of this session")
    .option("--event <list>", "of these events, with commas")
    .option("--outcome <list>", "with these outcomes, with commas")
    .option("--endpoint <id>", "at this endpoint")
    .option("--from <moment>", "attempted then or later", moment)
    .option("--to <moment>", "attempted before", moment)
    .option("--limit <n>", "how many, the newest", wholeNumber, 20)
    .option("--follow", "go on with those that come, until Ctrl-C")
    .option("--json", "print one JSON object a line")
    .addHelpText("after", help)
    .action(async (id: string | undefined, flags: LogsFlags) => {
      const stop = new AbortController();
      const onSignal = (): void => stop.abort();
      process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
      try {
        await (id === undefined ? logs(flags, io, stop.signal) : oneLog(id, flags, io));
      } finally {
        process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
      }
    });
}

async function oneLog(id: string, flags: LogsFlags, io: Io): Promise<void> {
  const connection = findConnection(flags, io.env);
  const api = new Api(connection.apiUrl, connection.key, 1);
  try {
    const path = `/v1/projects/${connection.projectId}/webhook-logs/${encodeURIComponent(id)}`;
    const row = dataAs(await ask(api, "GET", path), WebhookLogDetail, "The row");
    if (flags.json === true) io.stdout.write(`${jsonLine(row)}\n`);
    else {
      const { requestBody, responseBody, ...fields } = row;
      for (const [name, value] of Object.entries(fields)) {
        io.stdout.write(`${name.padEnd(15)} ${visible(String(value ?? ""), 300)}\n`);
      }
      io.stdout.write(`\nsent\n${visible(requestBody ?? "(erased)", 1_000_000)}\n`);
      io.stdout.write(`\nanswered\n${visible(responseBody ?? "(nothing)", 10_000)}\n`);
    }
  } finally {
    await api.close();
  }
}

/** Prints rows, oldest first, and with --follow those that come, until the signal is aborted. */
export async function logs(flags: LogsFlags, io: Io, signal: AbortSignal): Promise<void> {
  const connection = findConnection(flags, io.env);
  const api = new Api(connection.apiUrl, connection.key, 2);
  const startedAt = new Date();
  try {
    const rows = await readRows(api, connection.projectId, flags, flags.limit);
    if (flags.json === true) for (const row of rows) io.stdout.write(`${jsonLine(row)}\n`);
    else if (rows.length > 0 || flags.follow !== true) io.stdout.write(tableText(headings, rows.map(cells)));
    if (flags.follow === true) {
      const seen = new Set(rows.map(({ id }) => id));
      await follow(api, connection.projectId, flags, seen, startedAt, io, signal);
    }
  } finally {
    await api.close();
  }
}

async function follow(
  api: Api,
  projectId: string,
  flags: LogsFlags,
  seen: Set<string>,
  startedAt: Date,
  io: Io,
  signal: AbortSignal,
): Promise<void> {
  // What is older than the following itself was not asked for beyond --limit.
  const old = await readRows(api, projectId, { ...flags, from: before(startedAt) }, Number.POSITIVE_INFINITY);
  for (const { id } of old) seen.add(id);
  io.stderr.write("Following (Ctrl-C ends it).\n");
  let away = false;
  while (!signal.aborted) {
    await sleep(pollMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
    try {
      const recent = { ...flags, from: before(new Date()) };
      for (const row of await readRows(api, projectId, recent, Number.POSITIVE_INFINITY)) {
        if (seen.has(row.id)) continue;
        seen.add(row.id);
        io.stdout.write(flags.json === true ? `${jsonLine(row)}\n` : `${rowLine(row)}\n`);
      }
      if (away) io.stderr.write("The server answers again.\n");
      away = false;
    } catch (error) {
      if (!(error instanceof NoAnswer) && !(error instanceof CommandFailure)) throw error;
      if (!away) io.stderr.write(`${error.message}; waiting.\n`);
      away = true;
    }
  }
}

const before = (moment: Date): string => new Date(moment.getTime() - lateMaxMs).toISOString();

/** The newest rows of a filter, oldest first. */
async function readRows(api: Api, projectId: string, flags: LogsFlags, count: number): Promise<WebhookLog[]> {
  const rows: WebhookLog[] = [];
  let cursor: string | null = null;
  do {
    const query = queryOf({
      sessionId: flags.session,
      event: flags.event,
      outcome: flags.outcome,
      endpointId: flags.endpoint,
      from: flags.from,
      to: flags.to,
      limit: Math.min(pageMax, count - rows.length),
      cursor,
    });
    const answer = await ask(api, "GET", `/v1/projects/${projectId}/webhook-logs${query}`);
    const page: Page<WebhookLog> = pageOf(answer, WebhookLog.array(), "webhook-logs");
    rows.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null && rows.length < count);
  return rows.toReversed();
}

const headings = [
  "id",
  "attempted at",
  "event",
  "session",
  "attempt",
  "outcome",
  "status",
  "took",
  "settled as",
];

const cells = (row: WebhookLog): (string | number | null)[] => [
  row.id,
  row.attemptedAt,
  row.event,
  row.sessionId,
  row.trigger === "live" ? row.attempt : `${row.attempt} ${row.trigger}`,
  row.errorCode === null ? row.outcome : `${row.outcome} (${row.errorCode})`,
  row.responseStatus,
  row.durationMs === null ? null : `${Math.round(row.durationMs)} ms`,
  row.settledAs ?? "(again)",
];

/** A row that comes alone: a table cannot know how wide the next one will be. */
const rowLine = (row: WebhookLog): string =>
  cells(row)
    .map((cell) => visible(String(cell ?? "-")))
    .join("  ");
