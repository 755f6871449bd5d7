/**
 * Where the embedded PostgreSQL keeps its files, and as whom it runs.
 *
 * An ordinary user: in the data folder, as that user. Root: PostgreSQL refuses to run as root, so it runs under
 * another account, and its files lie in the data folder only if that account can walk there. A checkout below
 * /root (0700) is closed to every other account; the files then lie in a folder of their own below
 * /var/lib/sendoff, and a pointer file in the data folder says which.
 */
import { randomBytes } from "node:crypto";
import {
  chmod,
  chown,
  link,
  mkdir,
  mkdtemp,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { codeOf, EmbeddedPostgresError, USE_ANOTHER } from "./error.ts";
import { type Account, run } from "./run.ts";

/** Name of the cluster's folder within a place. */
export const CLUSTER = "postgres";
const POINTER = "postgres-location";
const PRIVATE_ROOT = "/var/lib/sendoff";
/** PostgreSQL holds paths in 1,024 bytes; the rest is for the names of files below the folder. */
const FOLDER_BYTES_MAX = 900;

export interface Place {
  /** Absolute, free of symbolic links. Holds cluster, binaries, log, and the socket when the path is short. */
  folder: string;
  /** Whom PostgreSQL runs as; null: as this process's own user. */
  account: Account | null;
}

/** Whether an earlier start has made a cluster for this data folder, there or where the pointer leads. */
export async function hasCluster(dataFolder: string): Promise<boolean> {
  const found = [join(dataFolder, CLUSTER, "PG_VERSION"), join(dataFolder, POINTER)].map(statOrNull);
  return (await Promise.all(found)).some((one) => one !== null);
}

/** Finds the place of an earlier start or makes a new one. Creates the data folder when it is missing. */
export async function findPlace(dataFolder: string, tell: (sentence: string) => void): Promise<Place> {
  const isRoot = process.getuid?.() === 0;
  const account = isRoot ? await unprivilegedAccount() : null;
  await makeDataFolder(dataFolder, account);
  const home = await realpath(dataFolder);
  const pointed = await readPointer(home);
  const folder = pointed ?? home;
  refuseUnusablePath(folder);

  const owner = await statOrNull(join(folder, CLUSTER));
  if (owner !== null) return { folder, account: await accountOfOwner(folder, owner) };
  if (!isRoot) return { folder, account: null };
  if (account === null) {
    throw new EmbeddedPostgresError(
      "PostgreSQL does not run as root, and /etc/passwd has neither a user postgres nor nobody to run it as. " +
        `Start Sendoff as an ordinary user. ${USE_ANOTHER}`,
    );
  }
  if (await canReach(folder, account)) return { folder, account };
  const chosen = await makePrivatePlace(home, account);
  tell(
    `PostgreSQL runs as user ${account.name}, who cannot enter ${home}: ` +
      `its files are in ${chosen}, and ${join(home, POINTER)} says so.`,
  );
  return { folder: chosen, account };
}

/**
 * 0700 for an ordinary user. For root 0710 with the account's group, so that PostgreSQL can pass through (not
 * list) it: with 0700 the database of a container started as root would never lie in the volume that was
 * mounted for it. A folder that exists keeps its mode, whatever that is.
 */
async function makeDataFolder(folder: string, account: Account | null): Promise<void> {
  if ((await statOrNull(folder)) !== null) return;
  await mkdir(dirname(folder), { recursive: true });
  // Renamed when it is ready: another start that saw it closed would put the database elsewhere.
  const draft = await mkdtemp(`${folder}-new-`);
  try {
    if (account !== null) await letThrough(draft, account);
    await rename(draft, folder);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!["ENOTEMPTY", "EEXIST"].includes(codeOf(error))) throw error;
  }
}

async function letThrough(folder: string, account: Account): Promise<void> {
  await chown(folder, 0, account.gid);
  await chmod(folder, 0o710);
}

async function readPointer(home: string): Promise<string | null> {
  let text: string;
  try {
    text = await readFile(join(home, POINTER), "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw error;
  }
  const folder = text.replace(/\n$/, "");
  // A new empty database in place of a lost one would look like a loss of all data that nobody was told of.
  if (!isAbsolute(folder) || !(await statOrNull(folder))?.isDirectory()) {
    throw new EmbeddedPostgresError(
      `${join(home, POINTER)} says that the database is in ${JSON.stringify(folder)}, but there is no such folder. ` +
        `Put the folder back, or remove ${join(home, POINTER)} to begin with an empty database. ${USE_ANOTHER}`,
    );
  }
  return folder;
}

/** An existing cluster is only usable for its owner: PostgreSQL refuses a folder of anybody else. */
async function accountOfOwner(folder: string, owner: { uid: number; gid: number }): Promise<Account | null> {
  const cluster = join(folder, CLUSTER);
  const self = process.getuid?.() ?? 0;
  if (self !== 0) {
    if (owner.uid === self) return null;
    throw new EmbeddedPostgresError(
      `The database in ${cluster} belongs to uid ${owner.uid}, but Sendoff was started by uid ${self}. ` +
        `Start Sendoff as the user who made the database. ${USE_ANOTHER}`,
    );
  }
  if (owner.uid === 0) {
    throw new EmbeddedPostgresError(
      `The database in ${cluster} belongs to root, and PostgreSQL does not run as root. Give it to another user ` +
        `(chown -R nobody ${JSON.stringify(cluster)}) and start again. ${USE_ANOTHER}`,
    );
  }
  const account = { name: `uid ${owner.uid}`, uid: owner.uid, gid: owner.gid };
  if (await canReach(folder, account)) return account;
  throw new EmbeddedPostgresError(
    `The database in ${cluster} belongs to uid ${owner.uid}, who can no longer enter ${folder}. ` +
      `Give that user the right to pass (x) through each folder on the way. ${USE_ANOTHER}`,
  );
}

/** Asks the kernel rather than reading modes: that counts access lists, mounts and namespaces in. */
async function canReach(folder: string, account: Account): Promise<boolean> {
  const result = await run("/bin/sh", ["-c", 'test -x "$1"', "sh", folder], account);
  return result.exitCode === 0;
}

async function makePrivatePlace(home: string, account: Account): Promise<string> {
  await mkdir(PRIVATE_ROOT, { recursive: true, mode: 0o711 });
  const folder = join(PRIVATE_ROOT, randomBytes(8).toString("hex"));
  await mkdir(folder, { mode: 0o700 });
  await letThrough(folder, account);
  if (!(await canReach(folder, account))) {
    await rm(folder, { recursive: true, force: true });
    throw new EmbeddedPostgresError(
      `PostgreSQL runs as user ${account.name}, who can enter neither ${home} nor ${PRIVATE_ROOT}. ` +
        `Set SENDOFF_DATA to a folder that this user can reach. ${USE_ANOTHER}`,
    );
  }
  // link() fails when the name is taken, so of two starts at once both use the first one's folder.
  const draft = join(home, `${POINTER}-${randomBytes(4).toString("hex")}`);
  await writeFile(draft, `${folder}\n`, { mode: 0o600 });
  try {
    await link(draft, join(home, POINTER));
    return folder;
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    if (codeOf(error) !== "EEXIST") throw error;
    return (await readPointer(home)) ?? folder;
  } finally {
    await rm(draft, { force: true });
  }
}

/** `postgres` is made for this; `nobody` exists on every system. Uids of 0 and below zero (macOS) do not fit. */
async function unprivilegedAccount(): Promise<Account | null> {
  const text = await readFile("/etc/passwd", "utf8").catch(() => "");
  const entries = text.split("\n").map((line) => line.split(":"));
  for (const name of ["postgres", "_postgres", "nobody"]) {
    const entry = entries.find((fields) => fields[0] === name);
    const uid = Number(entry?.[2]);
    const gid = Number(entry?.[3]);
    if (Number.isInteger(uid) && uid > 0 && Number.isInteger(gid) && gid > 0) return { name, uid, gid };
  }
  return null;
}

function refuseUnusablePath(folder: string): void {
  if (Buffer.byteLength(folder) > FOLDER_BYTES_MAX) {
    throw new EmbeddedPostgresError(
      `The data folder's path has ${Buffer.byteLength(folder)} bytes, PostgreSQL takes at most ${FOLDER_BYTES_MAX}: ` +
        `${folder}. Set SENDOFF_DATA to a shorter one. ${USE_ANOTHER}`,
    );
  }
  // postmaster.pid has one path a line.
  if (/[\r\n]/.test(folder)) {
    throw new EmbeddedPostgresError(
      `The data folder's path has a line break in it, which PostgreSQL cannot take: ${JSON.stringify(folder)}. ` +
        `Set SENDOFF_DATA to another one. ${USE_ANOTHER}`,
    );
  }
}

async function statOrNull(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw error;
  }
}
