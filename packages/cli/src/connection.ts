import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { StartFile } from "@sendoff/contract";
import type { Command } from "commander";
import { CommandFailure, type Io } from "./io.ts";

/** Where the server is, and the key for it. */
export interface Connection {
  /** Without a slash at the end. */
  readonly apiUrl: string;
  readonly key: string;
  readonly projectId: string;
  /** The built-in inspector of the local start; null when it is not known. */
  readonly inspectorUrl: string | null;
}

/** The flags that say where the server is. */
export interface ConnectionFlags {
  readonly api?: string;
  readonly key?: string;
  readonly project?: string;
  readonly inspector?: string;
}

/** Adds the flags that say which server, to a command that needs no project. */
export function withServerFlags(command: Command): Command {
  return command
    .option("--api <url>", "the server's URL (else SENDOFF_API_URL, else start.json)")
    .option("--key <key>", "a project key or developer key (else SENDOFF_KEY, which no process list shows)");
}

/** Adds the flags that say which server and which project. */
export function withProjectFlags(command: Command): Command {
  return withServerFlags(command).option("--project <id>", "the project (else SENDOFF_PROJECT)");
}

/** Adds the flags of {@link ConnectionFlags} to a command. */
export function withConnectionFlags(command: Command): Command {
  return withProjectFlags(command).option(
    "--inspector <url>",
    "the built-in inspector's URL (else SENDOFF_INSPECTOR_URL)",
  );
}

/**
 * Finds the server: each value from its flag, else from the environment, else from the start.json that `npm start`
 * writes to `$SENDOFF_DATA` or `.sendoff`.
 *
 * start.json only fills gaps for its own server: its key must not travel to another one that a flag names.
 *
 * @param folder where a relative data folder is looked for. Default: the working directory.
 */
export function findConnection(flags: ConnectionFlags, env: Io["env"], folder = process.cwd()): Connection {
  const given = {
    apiUrl: trimmed(flags.api ?? env.SENDOFF_API_URL),
    key: flags.key ?? env.SENDOFF_KEY,
    projectId: flags.project ?? env.SENDOFF_PROJECT,
    inspectorUrl: flags.inspector ?? env.SENDOFF_INSPECTOR_URL,
  };
  const startFile = startFilePath(env, folder);
  const start = readStartFile(startFile);
  const own =
    start !== null && (given.apiUrl === undefined || given.apiUrl === trimmed(start.apiUrl)) ? start : null;
  const apiUrl = given.apiUrl ?? trimmed(own?.apiUrl);
  if (apiUrl === undefined) throw new CommandFailure(notFound(startFile));
  const key = given.key ?? own?.projectKey ?? null;
  const projectId = given.projectId ?? own?.projectId;
  if (key === null) throw new CommandFailure(noKey(apiUrl, own === null ? null : startFile));
  if (projectId === undefined) {
    throw new CommandFailure(incomplete(apiUrl, "project", "--project or SENDOFF_PROJECT"));
  }
  const inspectorUrl = given.inspectorUrl ?? own?.inspectorUrl ?? null;
  return {
    apiUrl: checkedUrl(apiUrl, "API URL"),
    key,
    projectId,
    inspectorUrl: inspectorUrl === null ? null : checkedUrl(inspectorUrl, "inspector URL"),
  };
}

/** A server and a key for it, for commands that need no project. */
export interface Installation {
  readonly apiUrl: string;
  readonly keys: readonly FoundKey[];
}

/** A key and where it was found. */
export interface FoundKey {
  readonly key: string;
  readonly from: string;
}

/**
 * The server and every key that is known for it: that of the flag or environment alone, else the developer key and the
 * project key of start.json, in this order.
 */
export function findInstallation(
  flags: ConnectionFlags,
  env: Io["env"],
  folder = process.cwd(),
): Installation {
  const path = startFilePath(env, folder);
  const start = readStartFile(path);
  const given = trimmed(flags.api ?? env.SENDOFF_API_URL);
  const apiUrl = given ?? trimmed(start?.apiUrl);
  if (apiUrl === undefined) throw new CommandFailure(notFound(path));
  const own = start !== null && apiUrl === trimmed(start.apiUrl) ? start : null;
  const keys: FoundKey[] = [];
  if (flags.key !== undefined) keys.push({ key: flags.key, from: "--key" });
  else if (env.SENDOFF_KEY !== undefined) keys.push({ key: env.SENDOFF_KEY, from: "SENDOFF_KEY" });
  else if (own !== null) {
    for (const key of [own.developerKey, own.projectKey]) if (key !== null) keys.push({ key, from: path });
  }
  if (keys.length === 0) throw new CommandFailure(noKey(apiUrl, own === null ? null : path));
  return { apiUrl: checkedUrl(apiUrl, "API URL"), keys };
}

/** The inspector's URL alone, for commands that need no key. */
export function findInspector(flags: ConnectionFlags, env: Io["env"], folder = process.cwd()): string {
  const given = flags.inspector ?? env.SENDOFF_INSPECTOR_URL;
  if (given !== undefined) return checkedUrl(given, "inspector URL");
  const startFile = startFilePath(env, folder);
  const start = readStartFile(startFile);
  if (start === null) throw new CommandFailure(notFound(startFile));
  const apiUrl = trimmed(flags.api ?? env.SENDOFF_API_URL);
  const isOther = apiUrl !== undefined && apiUrl !== trimmed(start.apiUrl);
  if (isOther || start.inspectorUrl === null) {
    const how = "--inspector or SENDOFF_INSPECTOR_URL";
    throw new CommandFailure(incomplete(apiUrl ?? start.apiUrl, "inspector", how));
  }
  return start.inspectorUrl;
}

const startFilePath = (env: Io["env"], folder: string): string =>
  resolve(folder, env.SENDOFF_DATA ?? ".sendoff", "start.json");

function readStartFile(path: string): StartFile | null {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw new CommandFailure(
      `${path} cannot be read (${String(code)}). It belongs to whoever started the server.`,
    );
  }
  const start = StartFile.safeParse(parsed(text));
  if (!start.success) {
    const where = start.error.issues[0]?.path.join(".") ?? "";
    throw new CommandFailure(
      `${path} is not what sendoff start writes${where === "" ? "" : ` (see ${where})`}. Start the server again with npm start.`,
    );
  }
  return start.data;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function checkedUrl(url: string, what: string): string {
  const protocol = URL.canParse(url) ? new URL(url).protocol : "";
  if (protocol === "http:" || protocol === "https:") return url;
  throw new CommandFailure(`The ${what} "${url}" is no http or https URL, such as http://127.0.0.1:4600.`);
}

const trimmed = (url: string | undefined): string | undefined => url?.replace(/\/+$/, "");

const notFound = (startFile: string): string =>
  `No server found: ${startFile} does not exist, and neither --api nor SENDOFF_API_URL names one. Start it with npm start.`;

/** @param startFile that of this server, which has no key; null: there is none. */
const noKey = (apiUrl: string, startFile: string | null): string => {
  const made =
    startFile === null
      ? ""
      : ` ${startFile} has none, for it was written when the database had keys already, or they were revoked; sendoff keys create makes one.`;
  return `${incomplete(apiUrl, "key", "--key or SENDOFF_KEY")}${made}`;
};

const incomplete = (apiUrl: string, what: string, how: string): string =>
  `No ${what} is known for ${apiUrl}: give ${how}.`;
