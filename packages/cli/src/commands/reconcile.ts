import { readFileSync } from "node:fs";
import { MissingEvent, reconcileBounds } from "@sendoff/contract";
import { Command } from "commander";
import { Api } from "../api.ts";
import { pairsIn } from "../conformance/pairs.ts";
import { type ConnectionFlags, findConnection, withProjectFlags } from "../connection.ts";
import { CommandFailure, exitStatus, type Io } from "../io.ts";
import { moment } from "../options.ts";
import { ask, type Page, pageOf } from "../paged.ts";
import { tableText } from "../table.ts";
import { jsonLine } from "../visible.ts";

interface ReconcileFlags extends ConnectionFlags {
  readonly from: string;
  readonly to: string;
  readonly held: string;
  readonly endpoint?: string;
  readonly resend?: true;
  readonly json?: true;
}

const help = `
The file has what the receiver holds of the window, one ["sessionId","event"] or {"sessionId","event"} a line, or all in
one JSON array; - reads it from standard input. The window is that of timestamp in the bodies.

Examples:
  $ sendoff reconcile --from 2026-05-03 --to 2026-05-04 --held held.jsonl
  $ psql -Atc "select json_build_array(session_id, event) from handled" | sendoff reconcile --from 2026-05-03 --to 2026-05-04 --held - --resend

Exit status: 0 nothing is missing, or all of it is sent again; 1 something is missing; 2 wrong usage or no server.`;

/** `sendoff reconcile`: what a receiver lost. */
export function reconcileCommand(io: Io, setStatus: (status: number) => void): Command {
  return withProjectFlags(new Command("reconcile"))
    .description("find, and send again, what a receiver was owed and does not hold")
    .requiredOption("--from <moment>", "the window's begin", moment)
    .requiredOption("--to <moment>", "the window's end, which is not part of it", moment)
    .requiredOption("--held <file>", "what the receiver holds; - is standard input")
    .option("--endpoint <id>", "which endpoint (default: the agent's webhook)")
    .option("--resend", "send again what is missing and has settled")
    .option("--json", "print one JSON object a line")
    .addHelpText("after", help)
    .action(async (flags: ReconcileFlags) => setStatus(await reconcile(flags, io)));
}

async function reconcile(flags: ReconcileFlags, io: Io): Promise<number> {
  const held = heldOf(flags.held);
  const connection = findConnection(flags, io.env);
  const api = new Api(connection.apiUrl, connection.key, 1);
  const missing: MissingEvent[] = [];
  let cursor: string | null = null;
  try {
    do {
      const answer = await ask(api, "POST", `/v1/projects/${connection.projectId}/reconcile`, {
        from: flags.from,
        to: flags.to,
        held,
        resend: flags.resend === true,
        ...(flags.endpoint === undefined ? {} : { endpointId: flags.endpoint }),
        ...(cursor === null ? {} : { cursor }),
      });
      const page: Page<MissingEvent> = pageOf(answer, MissingEvent.array(), "The answer to reconcile");
      missing.push(...page.items);
      cursor = page.nextCursor;
    } while (cursor !== null);
  } finally {
    await api.close();
  }
  if (flags.json === true) for (const one of missing) io.stdout.write(`${jsonLine(one)}\n`);
  else if (missing.length === 0) io.stdout.write("Nothing is missing.\n");
  else {
    const rows = missing.map((one) => [
      one.timestamp,
      one.event,
      one.sessionId,
      one.state ?? "(log removed)",
      one.resent ? "sent again" : one.state === "pending" || one.state === "in_flight" ? "on its way" : "",
    ]);
    io.stdout.write(tableText(["timestamp", "event", "session", "state", ""], rows));
  }
  return missing.every(({ resent }) => resent) ? exitStatus.fine : exitStatus.wrong;
}

function heldOf(file: string): [string, string][] {
  let text: string;
  try {
    text = readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    throw new CommandFailure(`${file} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
  const pairs = pairsIn(text, file === "-" ? "standard input" : file);
  if (pairs.length > reconcileBounds.heldMax) {
    throw new CommandFailure(
      `${pairs.length} pairs are more than one request takes (${reconcileBounds.heldMax}). Give a smaller window and what is held of it.`,
    );
  }
  return pairs;
}
