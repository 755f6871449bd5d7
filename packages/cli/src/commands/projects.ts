import { CreatedProject, Project } from "@sendoff/contract";
import { Command } from "commander";
import { Api } from "../api.ts";
import { type ConnectionFlags, findInstallation, withServerFlags } from "../connection.ts";
import { CommandFailure, type Io } from "../io.ts";
import { ask, dataAs } from "../paged.ts";
import { tableText } from "../table.ts";
import { jsonLine } from "../visible.ts";

interface Flags extends ConnectionFlags {
  readonly json?: true;
}

/** `sendoff projects`: the projects that a key opens, and a new one. */
export function projectsCommand(io: Io): Command {
  const help = `
Examples:
  $ sendoff projects
  $ sendoff projects create Clinic
  $ sendoff projects create Clinic --json | jq -r .key`;
  const command = withServerFlags(new Command("projects"))
    .description("list the projects that the key opens, or create one")
    .option("--json", "print one JSON object a line")
    .addHelpText("after", help)
    .action((flags: Flags) => list(flags, io));
  const create = new Command("create")
    .description("make a project with its agent; its key is shown once (needs a developer key)")
    .argument("<name>", "1 to 200 characters")
    .action((name: string, _own, self: Command) => make(name, self.optsWithGlobals<Flags>(), io));
  command.addCommand(create);
  return command;
}

async function list(flags: Flags, io: Io): Promise<void> {
  const projects = await withApi(flags, io, async (api) =>
    dataAs(await ask(api, "GET", "/v1/projects"), Project.array(), "The projects"),
  );
  if (flags.json === true) for (const project of projects) io.stdout.write(`${jsonLine(project)}\n`);
  else {
    const rows = projects.map(({ id, name, createdAt }) => [id, name, createdAt]);
    io.stdout.write(tableText(["id", "name", "created at"], rows));
  }
}

async function make(name: string, flags: Flags, io: Io): Promise<void> {
  const project = await withApi(flags, io, async (api) =>
    dataAs(await ask(api, "POST", "/v1/projects", { name }), CreatedProject, "The project"),
  );
  if (flags.json === true) io.stdout.write(`${jsonLine(project)}\n`);
  else {
    const { id, name: stored, key } = project;
    io.stdout.write(tableText(["id", "name", "key (shown once)"], [[id, stored, key]]));
  }
}

async function withApi<Result>(flags: Flags, io: Io, act: (api: Api) => Promise<Result>): Promise<Result> {
  const { apiUrl, keys } = findInstallation(flags, io.env);
  const [first] = keys;
  if (first === undefined) throw new CommandFailure("No key is known: give --key or SENDOFF_KEY.");
  const api = new Api(apiUrl, first.key, 1);
  try {
    return await act(api);
  } finally {
    await api.close();
  }
}
