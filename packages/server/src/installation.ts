import { chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { agentEvents, StartFile } from "@sendoff/contract";
import type pg from "pg";
import type { Config } from "./config.ts";
import { inTransaction } from "./database/transaction.ts";
import type { Guard } from "./egress/guard.ts";
import { postUrl } from "./egress/inspector-url.ts";
import { createInspector } from "./inspector/inspector.ts";
import type { Logger } from "./log.ts";
import { keysInUse, reseal } from "./secrets/reseal.ts";
import { createSealer, createSecretKey, parseSecretKey, type Sealer } from "./secrets/seal.ts";
import { checkedUpdate, updateAgentIn } from "./tenancy/agents.ts";
import { createKey, isKeyOfUse } from "./tenancy/keys.ts";
import { createProjectIn, listProjects } from "./tenancy/projects.ts";
import { createSignInLink } from "./tenancy/sign-in.ts";

/** The data folder does not fit the database. The message says what to do. */
export class InstallationError extends Error {}

const ownerOnly = 0o600;

/** Writes a file that its owner alone may read, all of it or nothing. */
async function writePrivate(path: string, text: string): Promise<void> {
  const fresh = `${path}.${process.pid}.new`;
  await writeFile(fresh, text, { mode: ownerOnly });
  await chmod(fresh, ownerOnly);
  await rename(fresh, path);
}

/** A file's text, or null when there is none. */
async function readIfThere(path: string): Promise<string | null> {
  return readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
}

/**
 * The key that seals secrets: SENDOFF_SECRET_KEY, or the one in the data folder, which the first start makes.
 *
 * @throws InstallationError when the file is damaged.
 */
export async function loadSecretKey(config: Config): Promise<Buffer> {
  if (config.secretKey !== null) return config.secretKey;
  const path = join(config.dataFolder, "secret.key");
  const stored = await readIfThere(path);
  if (stored === null) {
    const made = createSecretKey();
    await mkdir(config.dataFolder, { recursive: true, mode: 0o700 });
    await writePrivate(path, `${made}\n`);
    return Buffer.from(made, "base64");
  }
  const key = parseSecretKey(stored.trim());
  if (key === null) {
    throw new InstallationError(
      `${path} does not hold 32 bytes in base64. Put back the key of the first start, or set SENDOFF_SECRET_KEY.`,
    );
  }
  return key;
}

/**
 * The sealer for a database. The first start leaves its key's id there; a later one may have another key when the old
 * one is at hand too (docs/adr/0029).
 *
 * @param oldKeys SENDOFF_SECRET_KEYS_OLD.
 * @throws InstallationError when something in the database is sealed with a key that is not at hand.
 */
export async function openSealer(
  pool: pg.Pool,
  key: Buffer,
  oldKeys: readonly Buffer[] = [],
): Promise<Sealer> {
  const sealer = createSealer(key, oldKeys);
  await pool.query("INSERT INTO installation (secret_key_id) VALUES ($1) ON CONFLICT DO NOTHING", [
    sealer.keyId,
  ]);
  // Only when the values of before can be opened, and only forward: a key that was replaced does not come back.
  await pool.query(
    `UPDATE installation
     SET former_secret_key_ids = array_append(former_secret_key_ids, secret_key_id), secret_key_id = $1
     WHERE secret_key_id <> $1 AND NOT $1 = ANY (former_secret_key_ids) AND secret_key_id = ANY ($2)`,
    [sealer.keyId, sealer.keyIds],
  );
  const needed = await keysInUse(pool);
  needed.add(await latestKeyId(pool));
  const missing = [...needed].filter((keyId) => !sealer.keyIds.includes(keyId));
  if (missing.length === 0) return sealer;
  throw new InstallationError(
    `The secrets in this database are sealed with the key ${missing.join(", ")}, and at hand is ${sealer.keyIds.join(", ")}. Set SENDOFF_SECRET_KEY to the key of the first start (secret.key in its data folder); to change it, put the old one into SENDOFF_SECRET_KEYS_OLD.`,
  );
}

/** The key that was first used the latest: it seals, and what older ones sealed is sealed anew with it. */
async function latestKeyId(pool: pg.Pool): Promise<string> {
  const { rows } = await pool.query<{ keyId: string }>(`SELECT secret_key_id AS "keyId" FROM installation`);
  return rows[0]?.keyId ?? "";
}

/**
 * Seals anew what old keys sealed, when this process has the latest key. Called at the start and again and again, since
 * other processes may seal with an old key until they have started with the new one.
 */
export async function resealWithLatest(pool: pg.Pool, sealer: Sealer, log: Logger): Promise<void> {
  if (sealer.keyIds.length === 1 || (await latestKeyId(pool)) !== sealer.keyId) return;
  const { resealed, left } = await reseal(pool, sealer);
  const oldKeyIds = sealer.keyIds.slice(1);
  if (resealed > 0 || left > 0) log.info({ event: "secrets.resealed", resealed, left, oldKeyIds });
  if (left === 0) log.info({ event: "secrets.old_keys_unused", keyId: sealer.keyId, oldKeyIds });
}

/** What a start needs to write start.json. */
export interface StartParts {
  readonly config: Config;
  readonly pool: pg.Pool;
  readonly sealer: Sealer;
  readonly guard: Guard;
  readonly log: Logger;
}

/**
 * Writes start.json, and makes on an empty database what it tells of: a project whose agent points at the built-in
 * inspector, and keys. Keys are stored as hashes, so a later start has them from its start.json alone. Where that is
 * missing they stay unknown: to make new ones would leave the old ones valid, and nobody would know of either.
 */
export async function prepareStartFile(parts: StartParts, apiUrl: string, pid: number): Promise<StartFile> {
  const { pool } = parts;
  const path = startPathOf(parts.config);
  const stored = await storedStart(path, pool);
  const known = stored ?? (await firstOrFurther(parts, path, apiUrl, pid));
  const inspectorUrl = known.inspectorUrl && `${apiUrl}${new URL(known.inspectorUrl).pathname}`;
  if (known.inspectorUrl !== null && inspectorUrl !== null && known.inspectorUrl !== inspectorUrl) {
    await followInspector(pool, known.projectId, known.inspectorUrl, inspectorUrl);
  }
  // Behind #, which browsers send to no server: it stands in no log.
  const signInUrl = `${apiUrl}/dashboard/sign-in#token=${await createSignInLink(pool)}`;
  const start = startFileOf({ ...known, inspectorUrl }, apiUrl, signInUrl, pid);
  await writeStart(path, start);
  return start;
}

export const startPathOf = (config: Config): string => join(config.dataFolder, "start.json");

/** What the start that made it knows of the first project, and others read of it. */
type FirstProject = Pick<StartFile, "inspectorUrl" | "projectId" | "projectKey" | "developerKey">;

const startFileOf = (
  { inspectorUrl, projectId, projectKey, developerKey }: FirstProject,
  apiUrl: string,
  signInUrl: string | null,
  pid: number,
): StartFile => ({
  apiUrl,
  dashboardUrl: `${apiUrl}/dashboard/`,
  signInUrl,
  inspectorUrl,
  projectId,
  projectKey,
  developerKey,
  pid,
});

const writeStart = (path: string, start: StartFile): Promise<void> =>
  writePrivate(path, `${JSON.stringify(start, null, 2)}\n`);

/** start.json of an earlier start on this very database, without keys that were revoked since; or null. */
async function storedStart(path: string, pool: pg.Pool): Promise<StartFile | null> {
  const text = await readIfThere(path);
  if (text === null) return null;
  let parsed: ReturnType<typeof StartFile.safeParse>;
  try {
    parsed = StartFile.safeParse(JSON.parse(text));
  } catch {
    return null;
  }
  if (!parsed.success) return null;
  const projects = await listProjects(pool, parsed.data.projectId);
  if (projects.length === 0) return null;
  const ofUse = async (key: string | null): Promise<string | null> =>
    key !== null && (await isKeyOfUse(pool, key)) ? key : null;
  const { projectKey, developerKey } = parsed.data;
  return { ...parsed.data, projectKey: await ofUse(projectKey), developerKey: await ofUse(developerKey) };
}

/** Any number will do, as long as it is this one everywhere. */
const firstProjectLock = 7_340_014;

/**
 * On an empty database the first project and its keys, else the oldest project there is, without keys. Of several
 * processes that start on an empty database at once, one makes the first project and the others find it.
 */
function firstOrFurther(parts: StartParts, path: string, apiUrl: string, pid: number): Promise<FirstProject> {
  return inTransaction(parts.pool, async (client) => {
    await client.query("SELECT pg_advisory_xact_lock($1)", [firstProjectLock]);
    const [oldest] = await listProjects(client, null);
    if (oldest !== undefined) {
      return { inspectorUrl: null, projectId: oldest.id, projectKey: null, developerKey: null };
    }
    const made = await makeFirst(client, parts, apiUrl);
    // Before the commit: keys that are valid and written nowhere would be lost with this process. A file whose keys
    // were never committed is passed over by the next start.
    await writeStart(path, startFileOf(made, apiUrl, null, pid));
    parts.log.info({ event: "installation.first_project_made", projectId: made.projectId, writtenTo: path });
    return made;
  });
}

async function makeFirst(
  client: pg.PoolClient,
  { sealer, guard }: StartParts,
  apiUrl: string,
): Promise<FirstProject> {
  const project = await createProjectIn(client, "First project");
  const inspectorUrl = `${apiUrl}/inspect/${await createInspector(client, project.id)}`;
  const { key: developerKey } = await createKey(client, { kind: "developer" });
  const webhook = { postSessionWebhook: { url: inspectorUrl, events: [...agentEvents] } };
  const checked = await checkedUpdate(webhook, guard);
  await updateAgentIn(client, sealer, project.id, checked, new Map([["name", '"First agent"']]));
  return { inspectorUrl, projectId: project.id, projectKey: project.key, developerKey };
}

/** With another PORT the inspector has another address; an agent that still points at the old one follows. */
async function followInspector(pool: pg.Pool, projectId: string, from: string, to: string): Promise<void> {
  await pool.query(
    `UPDATE endpoints SET url = $3, updated_at = now()
     WHERE project_id = $1 AND kind = 'agent' AND removed_at IS NULL AND url = $2`,
    [projectId, postUrl(from), postUrl(to)],
  );
}

/** Leaves for workers in other processes where the API is reached. */
export async function storePublicUrl(pool: pg.Pool, publicUrl: string): Promise<void> {
  await pool.query("UPDATE installation SET public_url = $1", [publicUrl]);
}

/**
 * Where the API is reached, as it has told the database.
 *
 * @throws Error while no API has started on this database.
 */
export async function readPublicUrl(pool: pg.Pool): Promise<string> {
  const { rows } = await pool.query<{ publicUrl: string | null }>({
    name: "public-url",
    text: `SELECT public_url AS "publicUrl" FROM installation`,
  });
  const publicUrl = rows[0]?.publicUrl ?? null;
  if (publicUrl === null) {
    throw new Error("No API has told where it is reached. Start one, or set SENDOFF_PUBLIC_URL.");
  }
  return publicUrl;
}
