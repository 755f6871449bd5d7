import { Project, RotatedSecret } from "@sendoff/contract";
import { Command } from "commander";
import { Api, errorSentence } from "../api.ts";
import {
  type ConnectionFlags,
  type FoundKey,
  findConnection,
  findInstallation,
  withProjectFlags,
  withServerFlags,
} from "../connection.ts";
import { CommandFailure, exitStatus, type Io } from "../io.ts";
import { ask, dataAs } from "../paged.ts";
import { patiently } from "../patience.ts";
import { tableText } from "../table.ts";
import { jsonLine } from "../visible.ts";

interface Flags extends ConnectionFlags {
  readonly overlap?: string;
  readonly json?: true;
}

/** A key with what the server says of it. The key itself is not shown. */
interface KeyView {
  readonly key: string;
  readonly kind: string;
  readonly from: string;
  readonly works: boolean;
  readonly projects: readonly string[];
  readonly problem: string | null;
}

/** `sendoff keys`: the keys that the commands use, and the signing secret. */
export function keysCommand(io: Io, setStatus: (status: number) => void): Command {
  const help = `
Examples:
  $ sendoff keys                                 which keys are used here, and what they open
  $ sendoff keys rotate-secret                   a new signing secret of the agent's webhook; the old one signs along for 24 h
  $ sendoff keys rotate-secret --overlap 0s      the same after a leak: the old one ends at once`;
  const command = withServerFlags(new Command("keys"))
    .description("show which keys the commands use and what they open, or rotate the signing secret")
    .option("--json", "print one JSON object a line")
    .addHelpText("after", help)
    .action(async (flags: Flags) => setStatus(await show(flags, io)));
  const rotate = withProjectFlags(new Command("rotate-secret"))
    .description("make a new signing secret of the agent's webhook, which is shown once")
    .option("--overlap <duration>", "for how long the old one signs along, 0s to 7d (default: 24h)")
    .option("--json", "print one JSON object")
    .action((_own, self: Command) => rotateSecret(self.optsWithGlobals<Flags>(), io));
  command.addCommand(rotate);
  return command;
}

async function show(flags: Flags, io: Io): Promise<number> {
  const { apiUrl, keys } = findInstallation(flags, io.env);
  const views: KeyView[] = [];
  for (const found of keys) views.push(await viewOf(apiUrl, found));
  if (flags.json === true) for (const view of views) io.stdout.write(`${jsonLine(view)}\n`);
  else {
    const rows = views.map((view) => [
      view.key,
      view.kind,
      view.problem ??
        (view.kind === "developer" ? `every project (${view.projects.length})` : view.projects.join(", ")),
      view.from,
    ]);
    io.stdout.write(tableText(["key", "kind", "opens", "found in"], rows));
  }
  return views.every(({ works }) => works) ? exitStatus.fine : exitStatus.wrong;
}

async function viewOf(apiUrl: string, { key, from }: FoundKey): Promise<KeyView> {
  const api = new Api(apiUrl, key, 1);
  const kind = key.startsWith("dk_") ? "developer" : key.startsWith("sk_") ? "project" : "unknown";
  const shown = `${key.slice(0, 3)}…${key.slice(-4)}`;
  try {
    const result = await patiently(() => api.request("GET", "/v1/projects"), 5_000);
    if (result.kind === "gave-up") throw new CommandFailure(`${result.reason}. Start it with npm start.`);
    const works = result.answer.status === 200;
    const projects = works ? dataAs(result.answer, Project.array(), "The projects").map(({ id }) => id) : [];
    return { key: shown, kind, from, works, projects, problem: works ? null : errorSentence(result.answer) };
  } finally {
    await api.close();
  }
}

async function rotateSecret(flags: Flags, io: Io): Promise<void> {
  const { apiUrl, key, projectId } = findConnection(flags, io.env);
  const api = new Api(apiUrl, key, 1);
  try {
    const body = flags.overlap === undefined ? {} : { overlap: flags.overlap };
    const answer = await ask(api, "POST", `/v1/projects/${projectId}/agent/webhook/secret`, body);
    const secret = dataAs(answer, RotatedSecret, "The secret");
    if (flags.json === true) io.stdout.write(`${jsonLine(secret)}\n`);
    else {
      const { signingSecret, oldSecretEndsAt } = secret;
      const old =
        oldSecretEndsAt === null
          ? "The old one signs no more."
          : `The old one signs along until ${oldSecretEndsAt}.`;
      io.stdout.write(`${signingSecret}\n`);
      io.stderr.write(`It is shown once: give it to the receiver now. ${old}\n`);
    }
  } finally {
    await api.close();
  }
}
