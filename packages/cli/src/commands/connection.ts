import { Project } from "@sendoff/contract";
import { Command } from "commander";
import { Api, errorSentence } from "../api.ts";
import { type ConnectionFlags, type FoundKey, findInstallation, withServerFlags } from "../connection.ts";
import { CommandFailure, exitStatus, type Io } from "../io.ts";
import { dataAs } from "../paged.ts";
import { patiently } from "../patience.ts";
import { tableText } from "../table.ts";
import { jsonLine } from "../visible.ts";

interface Flags extends ConnectionFlags {
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

/** `sendoff connection`: which server the commands speak to, and what the keys that they use open. */
export function connectionCommand(io: Io, setStatus: (status: number) => void): Command {
  const help = `
Examples:
  $ sendoff connection                           which keys the commands use here, and what they open
  $ SENDOFF_KEY=sk_... sendoff connection --api https://sendoff.example.com     the same of a key at hand`;
  return withServerFlags(new Command("connection"))
    .description("show which keys the commands use, where they were found, and what they open")
    .option("--json", "print one JSON object a line")
    .addHelpText("after", help)
    .action(async (flags: Flags) => setStatus(await show(flags, io)));
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
