import { setTimeout as sleep } from "node:timers/promises";
import { Resend, WebhookLog } from "@sendoff/contract";
import { Command } from "commander";
import { Api } from "../api.ts";
import { type Connection, type ConnectionFlags, findConnection, withProjectFlags } from "../connection.ts";
import { CommandFailure, exitStatus, type Io } from "../io.ts";
import { duration, moment } from "../options.ts";
import { ask, dataAs, type Page, pageOf, queryOf } from "../paged.ts";
import { progressOn } from "../simulate/progress.ts";
import { tableText } from "../table.ts";
import { jsonLine } from "../visible.ts";

interface ReplayFlags extends ConnectionFlags {
  readonly session?: string;
  readonly event?: string;
  readonly endpoint?: string;
  readonly settledAs?: string;
  readonly from?: string;
  readonly to?: string;
  readonly dryRun?: true;
  readonly wait: number;
  readonly json?: true;
}

const pollMs = 200;

const help = `
By ids each of those attempts' events is sent again. By filters those deliveries are, whose latest attempt is of the
filter: what failed once and was delivered later is left alone. Default of --settled-as: rejected, failed, exhausted and unknown.

Examples:
  $ sendoff replay 77 78
  $ sendoff replay --session call-1 --settled-as delivered      what went well, once more
  $ sendoff replay --from 2026-05-03T08:00:00Z --to 2026-05-03T09:00:00Z --dry-run

Exit status: 0 all were delivered (or nothing was to be sent), 1 some were not, 2 wrong usage or no server.`;

/** `sendoff replay`: sends events again. */
export function replayCommand(io: Io, setStatus: (status: number) => void): Command {
  return withProjectFlags(new Command("replay"))
    .description("send events again, with the same body and webhook-id, and show how it went")
    .argument("[ids...]", "rows of webhook_logs (see sendoff logs)")
    .option("--session <id>", "of this session")
    .option("--event <list>", "of these events, with commas")
    .option("--endpoint <id>", "at this endpoint")
    .option("--settled-as <list>", "that settled so, with commas")
    .option("--from <moment>", "attempted then or later", moment)
    .option("--to <moment>", "attempted before", moment)
    .option("--dry-run", "show what would be sent, and send nothing")
    .option("--wait <duration>", "the longest wait for the outcomes", duration, 45_000)
    .option("--json", "print one JSON object a line")
    .addHelpText("after", help)
    .action(async (ids: string[], flags: ReplayFlags) => setStatus(await replay(ids, flags, io)));
}

/** What is sent again, and what came of it. */
interface Replayed {
  readonly id: string;
  readonly event: string;
  readonly sessionId: string;
  readonly attempt: number | null;
  readonly result: string;
}

async function replay(ids: readonly string[], flags: ReplayFlags, io: Io): Promise<number> {
  const filters = [flags.session, flags.event, flags.endpoint, flags.settledAs, flags.from, flags.to];
  const isFiltered = filters.some((filter) => filter !== undefined);
  if (ids.length > 0 === isFiltered) {
    throw new CommandFailure("Give ids of attempts, or filters such as --session or --from, and not both.");
  }
  const connection = findConnection(flags, io.env);
  const api = new Api(connection.apiUrl, connection.key, 8);
  const progress = progressOn(io);
  try {
    const found = isFiltered ? await settledRows(api, connection, flags) : null;
    const chosen = found?.map(({ id }) => id) ?? ids;
    const done: Replayed[] = [];
    if (flags.dryRun === true && found === null)
      throw new CommandFailure("--dry-run goes with filters, not with ids.");
    if (found !== null && flags.dryRun === true) {
      done.push(
        ...found.map((row) => ({ ...row, attempt: null, result: `would be sent (${row.settledAs})` })),
      );
    } else {
      progress.begin("sending again", chosen.length);
      for (const id of chosen) {
        done.push(await resent(id, api, connection, flags.wait));
        progress.at(done.length);
      }
      progress.end();
    }
    print(done, flags, io);
    const good = done.every(({ result }) => result === "delivered" || flags.dryRun === true);
    return good ? exitStatus.fine : exitStatus.wrong;
  } finally {
    progress.end();
    await api.close();
  }
}

function print(done: readonly Replayed[], flags: ReplayFlags, io: Io): void {
  if (flags.json === true) {
    for (const { id, event, sessionId, attempt, result } of done) {
      io.stdout.write(`${jsonLine({ id, event, sessionId, attempt, result })}\n`);
    }
  } else if (done.length === 0) io.stdout.write("There is nothing to send again.\n");
  else {
    const rows = done.map(({ id, event, sessionId, attempt, result }) => [
      id,
      event,
      sessionId,
      attempt,
      result,
    ]);
    io.stdout.write(tableText(["id", "event", "session", "attempt", "result"], rows));
  }
}

/** The latest row of each delivery of the filter, where it settled as is asked for; oldest first. */
async function settledRows(api: Api, { projectId }: Connection, flags: ReplayFlags): Promise<WebhookLog[]> {
  const latest = new Map<string, WebhookLog>();
  let cursor: string | null = null;
  do {
    const query = queryOf({
      sessionId: flags.session,
      event: flags.event,
      endpointId: flags.endpoint,
      from: flags.from,
      // Without `to`: an attempt after it may have gone well.
      limit: 500,
      cursor,
    });
    const answer = await ask(api, "GET", `/v1/projects/${projectId}/webhook-logs${query}`);
    const page: Page<WebhookLog> = pageOf(answer, WebhookLog.array(), "webhook-logs");
    for (const row of page.items) {
      const key = `${row.sessionId} ${row.event} ${row.endpointId}`;
      const known = latest.get(key);
      if (row.trigger !== "test" && (known === undefined || BigInt(known.id) < BigInt(row.id)))
        latest.set(key, row);
    }
    cursor = page.nextCursor;
  } while (cursor !== null);
  const wanted = (flags.settledAs ?? "rejected,failed,exhausted,unknown").split(",");
  return [...latest.values()]
    .filter((row) => row.settledAs !== null && wanted.includes(row.settledAs))
    .filter((row) => flags.to === undefined || Date.parse(row.attemptedAt) < Date.parse(flags.to))
    .toSorted((left, right) => (BigInt(left.id) < BigInt(right.id) ? -1 : 1));
}

async function resent(id: string, api: Api, { projectId }: Connection, waitMs: number): Promise<Replayed> {
  const path = `/v1/projects/${projectId}/webhook-logs`;
  const answer = await ask(api, "POST", `${path}/${encodeURIComponent(id)}/resend`);
  const { sessionId, event, attempt, endpointId } = dataAs(answer, Resend, "The resend");
  const query = queryOf({ sessionId, event, endpointId, limit: 50 });
  const endsAt = performance.now() + waitMs;
  for (;;) {
    const rows = pageOf(await ask(api, "GET", `${path}${query}`), WebhookLog.array(), "webhook-logs").items;
    const own = rows.filter((row) => row.attempt >= attempt);
    const settled = own.find((row) => row.settledAs !== null);
    if (settled !== undefined) return { id, event, sessionId, attempt, result: settled.settledAs ?? "" };
    const result = own.length > 0 ? "will be retried" : "under way";
    if (performance.now() > endsAt || own.length > 0) return { id, event, sessionId, attempt, result };
    await sleep(pollMs);
  }
}
