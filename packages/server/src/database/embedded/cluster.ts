/** The database cluster: the folder that initdb makes once and the server then works in. */
import { chown, mkdtemp, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { type BinaryPackage, copyBinaries, isOldCopy } from "./binaries.ts";
import { codeOf, EmbeddedPostgresError, USE_ANOTHER } from "./error.ts";
import { CLUSTER, type Place } from "./place.ts";
import { DATABASE_USER } from "./postmaster.ts";
import { run } from "./run.ts";

const DRAFT = "postgres-new-";
/** No start takes this long, so what is older was left by one that was killed. */
const LEFTOVER_AGE_MS = 3_600_000;

/**
 * Makes the cluster unless it is there, and checks that this version of PostgreSQL can read it. Made under
 * another name and then renamed: a crash leaves no half cluster, and of two starts at once one wins.
 */
export async function makeCluster(
  place: Place,
  source: BinaryPackage,
  programs: string,
  tell: (sentence: string) => void,
): Promise<void> {
  const cluster = join(place.folder, CLUSTER);
  if (await hasCluster(cluster, source)) return;
  refuseUnknownUser(place);
  tell(`Making a PostgreSQL ${source.major} database in ${cluster}.`);
  const draft = await mkdtemp(join(place.folder, DRAFT));
  try {
    if (place.account !== null) await chown(draft, place.account.uid, place.account.gid);
    await initialise(draft, place, source, programs);
    await rename(draft, cluster);
    await syncFolder(place.folder);
  } catch (error) {
    if (!["ENOTEMPTY", "EEXIST"].includes(codeOf(error))) throw error;
    await hasCluster(cluster, source);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** Removes what killed starts and earlier versions left behind. Only while no server runs from the place. */
export async function removeLeftovers(folder: string, source: BinaryPackage): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith(DRAFT) && !isOldCopy(name, source)) continue;
    const path = join(folder, name);
    // Two starts at once may both see it.
    const age = await stat(path)
      .then(({ mtimeMs }) => Date.now() - mtimeMs)
      .catch(() => 0);
    if (age > LEFTOVER_AGE_MS) await rm(path, { recursive: true, force: true });
  }
}

/** False when nothing is there; throws when what is there is no cluster, or of another version. */
async function hasCluster(cluster: string, source: BinaryPackage): Promise<boolean> {
  let version: string;
  try {
    version = (await readFile(join(cluster, "PG_VERSION"), "utf8")).trim();
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
    const names = await readdir(cluster).catch(() => []);
    if (names.length === 0) return false;
    throw new EmbeddedPostgresError(
      `${cluster} is not empty and has no file PG_VERSION, so it is no PostgreSQL database. ` +
        `Move it away, or set SENDOFF_DATA to another folder. ${USE_ANOTHER}`,
    );
  }
  if (version === source.major) return true;
  throw new EmbeddedPostgresError(
    `The database in ${cluster} was made by PostgreSQL ${version}; this Sendoff brings PostgreSQL ${source.major}, ` +
      `which cannot read it. Move the data over with pg_dump of version ${version}, or start the earlier Sendoff.`,
  );
}

/** initdb asks for the user's name and fails late and obscurely when there is none. */
function refuseUnknownUser({ account }: Place): void {
  if (account !== null) return;
  try {
    userInfo();
  } catch (error) {
    throw new EmbeddedPostgresError(
      `Sendoff runs as uid ${process.getuid?.()}, which has no entry in /etc/passwd; PostgreSQL cannot make a ` +
        `database without one. Run it as a user of the system. ${USE_ANOTHER}`,
      { cause: error },
    );
  }
}

async function initialise(
  draft: string,
  place: Place,
  source: BinaryPackage,
  programs: string,
): Promise<void> {
  // initdb hands its own folder to a shell between double quotes, where these characters have a meaning.
  if (!/["$`\\]/.test(programs)) return await initdb(join(programs, "initdb"), draft, place);
  const temporary = await mkdtemp(join(tmpdir(), "sendoff-initdb-"));
  try {
    await initdb(join(await copyBinaries(source, temporary), "initdb"), draft, place);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function initdb(program: string, draft: string, { account }: Place): Promise<void> {
  const settings = [
    `--username=${DATABASE_USER}`,
    // No password: the only way in is a socket in a folder of mode 0700 (embedded-postmaster.ts).
    "--auth=trust",
    "--encoding=UTF8",
    // The same order of text on every machine, whatever locales and ICU it has.
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    "--data-checksums",
    "--set=dynamic_shared_memory_type=mmap",
    "--no-instructions",
  ];
  const ended = await run(program, [`--pgdata=${draft}`, ...settings], account);
  if (ended.exitCode === 0) return;
  throw new EmbeddedPostgresError(
    `initdb could not make a database in ${draft} (exit code ${ended.exitCode}). It said:\n` +
      `${ended.output.trim().split("\n").slice(-15).join("\n")}\n${USE_ANOTHER}`,
  );
}

/** initdb has put its files on the disk; the rename is there only when the folder above is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
