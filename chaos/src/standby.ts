import { execFile } from "node:child_process";
import { appendFile, chown, mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type pg from "pg";
import type { Postgres } from "./postgres.ts";

/** What belongs to the running server and not to a copy of its data. */
const ownFiles = ["postmaster.pid", "postmaster.opts"];
/** Folders that a copy begins with empty: the changes come by streaming. */
const emptied = ["pg_wal", "pg_replslot", "pg_dynshmem", "pg_stat_tmp"];

/**
 * Copies a running server's data to where a standby of it will start, as pg_basebackup does; that program is not among
 * those of the embedded PostgreSQL.
 *
 * @param admin a connection to the server that is copied; the backup belongs to it.
 */
export async function copyForStandby(admin: pg.Client, from: Postgres, to: Postgres): Promise<void> {
  const target = join(to.folder, "postgres");
  await rm(target, { recursive: true, force: true });
  await mkdir(to.folder, { recursive: true });
  await admin.query("SELECT pg_backup_start('rig', true)");
  // It complains of files that vanished meanwhile; those are of no use to the copy.
  await promisify(execFile)("cp", ["-a", from.clusterFolder, target]).catch(() => {});
  const { rows } = await admin.query<{ labelfile: string }>("SELECT labelfile FROM pg_backup_stop(false)");
  for (const name of ownFiles) await rm(join(target, name), { force: true });
  for (const name of emptied) await emptyFolder(join(target, name));
  const label = join(target, "backup_label");
  const signalFile = join(target, "standby.signal");
  await writeFile(label, rows[0]?.labelfile ?? "");
  await writeFile(signalFile, "");
  await ownAs(target, [label, signalFile]);
  const source = `host=${from.socketFolder} port=5432 user=sendoff application_name=standby`;
  await appendFile(join(target, "postgresql.auto.conf"), `primary_conninfo = '${source}'\n`);
}

async function emptyFolder(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    const path = join(folder, entry.name);
    // The log's folders have folders of their own, which must be there.
    if (entry.isDirectory() && folder.endsWith("pg_wal")) await emptyFolder(path);
    else await rm(path, { recursive: true, force: true });
  }
}

/** Files that the rig writes as root belong to the account that PostgreSQL runs as. */
async function ownAs(folder: string, paths: readonly string[]): Promise<void> {
  const { uid, gid } = await stat(folder);
  for (const path of paths) await chown(path, uid, gid);
}
