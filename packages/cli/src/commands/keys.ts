import type { InstallationKeys } from "@sendoff/server";
import { Command } from "commander";
import { CommandFailure, exitStatus, type Io } from "../io.ts";
import { tableText } from "../table.ts";
import { jsonLine } from "../visible.ts";

interface JsonFlag {
  readonly json?: true;
}

interface CreateFlags extends JsonFlag {
  readonly developer?: true;
  readonly project?: string;
}

/** `sendoff keys`: the keys of an installation, for its operator, over the database. */
export function keysCommand(io: Io): Command {
  const help = `
They are read and written in the database: that of DATABASE_URL, else the embedded PostgreSQL of
SENDOFF_DATA (.sendoff), whether Sendoff runs on it or not. No key is needed, and no server.

Examples:
  $ sendoff keys list                            every key: how it begins, what it opens, when it was last used
  $ sendoff keys create --developer              a new developer key, which is shown once
  $ sendoff keys create --project 8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20      a new key of one project
  $ sendoff keys revoke sk_GXXp                  every process refuses it within a second`;
  const command = new Command("keys")
    .description("list, create and revoke the keys of an installation, in its database")
    .addHelpText("after", help);
  command
    .command("list")
    .description("show every key, never its text: how it begins, what it opens, when it was last used")
    .option("--json", "print one JSON object a line")
    .action((flags: JsonFlag) => overDatabase(io, (keys) => list(keys, flags, io)));
  command
    .command("create")
    .description("make a key, which is shown once")
    .option("--developer", "a key that opens every project")
    .option("--project <id>", "a key that opens this project")
    .option("--json", "print one JSON object, also where the output is no terminal")
    .action((flags: CreateFlags) => create(flags, io));
  command
    .command("revoke")
    .description("end a key for good")
    .argument(
      "<key>",
      "its id, how its id or the key itself begins (at least 4 characters), or the whole key",
    )
    .action((given: string) => overDatabase(io, (keys) => revoke(keys, given, io)));
  return command;
}

async function overDatabase<Result>(
  io: Io,
  work: (keys: InstallationKeys) => Promise<Result>,
): Promise<Result> {
  // Loaded here, so that the other commands need not wait for it.
  const { StartError, withInstallationKeys } = await import("@sendoff/server");
  try {
    return await withInstallationKeys(io.env, work);
  } catch (error) {
    if (error instanceof StartError) throw new CommandFailure(error.message, exitStatus.unusable);
    throw error;
  }
}

type Key = Awaited<ReturnType<InstallationKeys["list"]>>[number];

async function list(keys: InstallationKeys, flags: JsonFlag, io: Io): Promise<void> {
  const all = await keys.list();
  if (flags.json === true) for (const key of all) io.stdout.write(`${jsonLine(key)}\n`);
  else {
    const rows = all.map((key) => [
      key.id,
      key.prefix === null ? "" : `${key.prefix}…`,
      key.projectId ?? "every project",
      momentOf(key.createdAt),
      momentOf(key.lastUsedAt),
      momentOf(key.revokedAt),
    ]);
    io.stdout.write(tableText(["id", "key", "opens", "created", "last used", "revoked"], rows));
  }
}

/** To the second. */
const momentOf = (moment: Date | null): string => moment?.toISOString().replace(/\.\d+/, "") ?? "";

async function create(flags: CreateFlags, io: Io): Promise<void> {
  const { developer, project } = flags;
  if ((developer === true) === (project !== undefined)) {
    throw new CommandFailure(
      "Say what the key is to open: either --developer (every project) or --project <id> (one).",
    );
  }
  // Before it is made: a key that nobody has seen would be valid for ever.
  if (flags.json !== true && io.stdout.isTTY !== true) {
    throw new CommandFailure(
      "The output is no terminal, and a key belongs in no log. Give --json to have it printed there all the same.",
    );
  }
  const { id, key } = await overDatabase(io, (keys) => keys.create(project ?? null));
  if (flags.json === true) io.stdout.write(`${jsonLine({ id, key, projectId: project ?? null })}\n`);
  else {
    io.stdout.write(`${key}\n`);
    io.stderr.write(`It is shown once, and its id is ${id}. Give it to commands by SENDOFF_KEY.\n`);
  }
}

async function revoke(keys: InstallationKeys, given: string, io: Io): Promise<void> {
  const result = await keys.revoke(given);
  if (result.outcome === "not-one") throw new CommandFailure(notOne(result.keys));
  const { key } = result;
  io.stdout.write(
    result.outcome === "revoked"
      ? `Revoked ${nameOf(key)}. Every process refuses it within a second.\n`
      : `Nothing was done: ${nameOf(key)} was revoked at ${momentOf(key.revokedAt)}.\n`,
  );
}

const nameOf = ({ id, prefix, projectId }: Key): string =>
  `the key ${id}${prefix === null ? "" : ` (${prefix}…)`} of ${projectId === null ? "every project" : `project ${projectId}`}`;

function notOne(keys: readonly Key[]): string {
  const expected =
    "Expected an id, the beginning of an id or a key, or a whole key, as sendoff keys list shows.";
  return keys.length === 0
    ? `No key is meant by that, and none was revoked. ${expected}`
    : `${keys.length} keys begin so, and none was revoked: ${keys
        .slice(0, 5)
        .map(({ id }) => id)
        .join(", ")}${keys.length > 5 ? " ..." : ""}. Give more of one.`;
}
