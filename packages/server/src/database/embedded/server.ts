/** Starts a server process on a cluster that has none. */
import { chmod, chown, mkdir, mkdtemp, open, rename, rm, rmdir, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { CLUSTER, type Place } from "./place.ts";
import { endPostmaster, PORT, waitUntilReady } from "./postmaster.ts";
import { launch } from "./run.ts";

const LOG = "postgres.log";
const LOG_BYTES_MAX = 10_000_000;
const LOG_TAIL_BYTES = 4_000;
const SOCKET_FOLDER = "postgres-socket";
const TEMPORARY_SOCKET_FOLDER = "sendoff-postgres-";
/** Linux takes 107 bytes and macOS 103 for the path of a socket. */
const SOCKET_PATH_BYTES_MAX = 103;

const SETTINGS = [
  "listen_addresses=",
  "unix_socket_permissions=0700",
  `port=${PORT}`,
  "fsync=on",
  "synchronous_commit=on",
  "full_page_writes=on",
  "max_connections=100",
  "shared_buffers=128MB",
  "dynamic_shared_memory_type=mmap",
  "timezone=UTC",
  "log_timezone=UTC",
  // Sendoff's statements are short; compiling one would take longer than running it.
  "jit=off",
  "log_line_prefix=%m [%p] ",
  // Statements hold the customers' data, which is not to lie about in a log.
  "log_min_error_statement=panic",
  "log_checkpoints=off",
];

/** `ready`, or `ended` before that with what it wrote to the log. */
export type Started = { kind: "ready"; pid: number; socketFolder: string } | { kind: "ended"; log: string };

/**
 * Starts the server and waits until it answers. Detached, in a session of its own: Ctrl-C in the terminal
 * reaches every process of the terminal's group, and the server has to outlive the drain.
 * @param stalePid what an old postmaster.pid names when that server no longer runs, else null
 */
export async function startServer(
  place: Place,
  programs: string,
  stalePid: number | null,
  tell: (sentence: string) => void,
): Promise<Started> {
  const cluster = join(place.folder, CLUSTER);
  const socketFolder = await makeSocketFolder(place);
  const log = await openLog(place.folder);
  try {
    const settings = [...SETTINGS, `unix_socket_directories=${quoteForList(socketFolder)}`];
    const child = await launch(
      join(programs, "postgres"),
      ["-D", cluster, ...settings.flatMap((setting) => ["-c", setting])],
      place.account,
      {
        cwd: cluster,
        detached: true,
        stdio: ["ignore", log.handle.fd, log.handle.fd],
        // PostgreSQL refuses to start when the pid in an old pid file is alive, even as another program (after a
        // restart of the machine). It makes an exception for the pid that pg_ctl names in this variable.
        env: stalePid === null ? {} : { PG_GRANDPARENT_PID: String(stalePid) },
      },
    );
    child.unref();
    const pid = child.pid ?? 0;
    const answered = await waitUntilReady(cluster, pid, tell).catch(async (error) => {
      await endPostmaster(cluster, pid);
      throw error;
    });
    if (answered !== null) return { kind: "ready", pid, socketFolder };
    await removeSocketFolder(socketFolder);
    return { kind: "ended", log: await log.readNew() };
  } catch (error) {
    await removeSocketFolder(socketFolder);
    throw error;
  } finally {
    await log.handle.close();
  }
}

/** Removes a socket folder that is outside of the place, once its server has ended; `inUse` stays. */
export async function removeSocketFolder(folder: string, inUse = ""): Promise<void> {
  if (folder === inUse || !basename(folder).startsWith(TEMPORARY_SOCKET_FOLDER)) return;
  for (const name of [`.s.PGSQL.${PORT}`, `.s.PGSQL.${PORT}.lock`])
    await rm(join(folder, name), { force: true });
  await rmdir(folder).catch(() => {});
}

/** 0700 and the server's: whoever can enter may connect as superuser. */
async function makeSocketFolder({ folder, account }: Place): Promise<string> {
  let made = join(folder, SOCKET_FOLDER);
  if (Buffer.byteLength(join(made, `.s.PGSQL.${PORT}`)) <= SOCKET_PATH_BYTES_MAX) {
    await mkdir(made, { recursive: true, mode: 0o700 });
  } else {
    made = await makeTemporaryFolder(account !== null);
  }
  if (account !== null) await chown(made, account.uid, account.gid);
  await chmod(made, 0o700);
  return made;
}

/** /tmp for root, whose own TMPDIR may be closed to the account that PostgreSQL runs as. */
async function makeTemporaryFolder(isOthers: boolean): Promise<string> {
  const parent = isOthers || Buffer.byteLength(tmpdir()) > 60 ? "/tmp" : tmpdir();
  return await mkdtemp(join(parent, TEMPORARY_SOCKET_FOLDER));
}

/** The setting is a list, separated by commas, of names that may stand between double quotes. */
function quoteForList(folder: string): string {
  return `"${folder.replaceAll('"', '""')}"`;
}

async function openLog(folder: string) {
  const path = join(folder, LOG);
  const size = await stat(path)
    .then((found) => found.size)
    .catch(() => 0);
  if (size > LOG_BYTES_MAX) await rename(path, `${path}.1`);
  const handle = await open(path, "a+", 0o600);
  const begin = (await handle.stat()).size;
  return {
    handle,
    /** The end of what was added since it was opened. */
    async readNew(): Promise<string> {
      const end = (await handle.stat()).size;
      const from = Math.max(begin, end - LOG_TAIL_BYTES);
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(end - from), 0, end - from, from);
      return buffer.toString("utf8", 0, bytesRead).trim();
    },
  };
}
