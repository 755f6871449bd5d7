import { execFile } from "node:child_process";
import { statfsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
/** Room for the tables of a long run, the log of changes of two servers and a base backup. Memory is taken as it is used. */
const size = "3g";

/** A file system of PostgreSQL's own that can be full: tmpfs, whose size can be changed under way. */
export interface SmallDisk {
  /** Leaves no room beyond what is used now; what is freed later is taken away when it is called again. */
  fill(): Promise<void>;
  empty(): Promise<void>;
  end(): Promise<void>;
}

/** Mounts it at a folder that it makes; null where mounting is not permitted, as for an ordinary user. */
export async function mountSmallDisk(folder: string): Promise<SmallDisk | null> {
  await mkdir(folder, { recursive: true });
  const mounted = await run("mount", ["-t", "tmpfs", "-o", `size=${size},mode=755`, "tmpfs", folder]).then(
    () => true,
    () => false,
  );
  if (!mounted) return null;
  const resize = (bytes: string): Promise<unknown> => run("mount", ["-o", `remount,size=${bytes}`, folder]);
  return {
    async fill() {
      const { blocks, bfree, bsize } = statfsSync(folder);
      // Refused when a file has grown meanwhile; the next call fits.
      await resize(String((blocks - bfree) * bsize)).catch(() => {});
    },
    async empty() {
      await resize(size);
    },
    async end() {
      // Lazily: PostgreSQL's last children may still be letting go of their files.
      await run("umount", ["-l", folder]).catch(() => {});
    },
  };
}
