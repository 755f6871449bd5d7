import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { createDiskSpace } from "./disk-space.ts";
import { peaksKeyOf } from "./keys.ts";
import { audioTypeOf, sniffBytes } from "./sniff.ts";
import { type RecordingStore, storeUnavailable } from "./store.ts";

/** A file that is being written gets bytes at least every 30 s (upload.ts), so one so old is nobody's. */
const abandonedMs = 120_000;

/** Names of these parts and nothing else begin with a dot: no key leads to them. */
const unfinishedFolder = ".unfinished";

/** Errors that mean that there is no file at a key, as opposed to one that cannot be read now. */
const isAbsent = (error: unknown): boolean =>
  ["ENOENT", "ENOTDIR", "EISDIR", "ENAMETOOLONG"].includes((error as { code?: string }).code ?? "");

/**
 * Objects as files of a folder, by key. A file is written beside the others, synced, and then gets its name: whatever
 * dies, what can be read is whole. Processes of one or of several hosts may share the folder.
 *
 * @param folder is there already.
 * @param reserveBytes of the disk that stay free.
 */
export function createDiskRecordings(folder: string, reserveBytes: number): RecordingStore {
  const space = createDiskSpace(folder, reserveBytes);
  const fileOf = (objectKey: string): string => join(folder, objectKey);
  const unfinished = join(folder, unfinishedFolder);

  const removeFile = async (objectKey: string): Promise<boolean> => {
    const found = await stat(fileOf(objectKey)).catch((error: unknown) => {
      if (isAbsent(error)) return null;
      throw error;
    });
    if (!found?.isFile()) return false;
    await rm(fileOf(objectKey), { force: true });
    return true;
  };
  const remove = async (objectKey: string): Promise<boolean> => {
    try {
      const was = await removeFile(objectKey);
      await removeFile(peaksKeyOf(objectKey));
      // The session's folder, when this was all that it had. Those above it are few, and others may be using them.
      if (was && objectKey.split("/").length > 5) await rmdir(dirname(fileOf(objectKey))).catch(() => {});
      return was;
    } catch (error) {
      throw storeUnavailable("remove a recording", error);
    }
  };

  return {
    uploadsMax: 64,
    async expect(bytes) {
      await space.expect(bytes).catch((error: unknown) => {
        throw storeUnavailable("look for room", error);
      });
    },
    async write(objectKey, content) {
      const path = join(
        unfinished,
        `${hostname().replace(/[^A-Za-z0-9-]/g, "-")}.${process.pid}.${randomUUID()}`,
      );
      const room = space.begin();
      try {
        await mkdir(unfinished, { recursive: true, mode: 0o700 });
        const file = await open(path, "wx", 0o600);
        try {
          for await (const chunk of content) {
            await room.take(chunk.byteLength);
            await writeAll(file, chunk);
          }
          await file.sync();
        } finally {
          await file.close();
        }
        await giveName(path, fileOf(objectKey), folder);
      } catch (error) {
        await rm(path, { force: true }).catch(() => {});
        throw (error as { syscall?: string }).syscall === undefined
          ? error
          : storeUnavailable("store a recording", error);
      } finally {
        room.end();
      }
    },
    async find(objectKey) {
      let file: FileHandle | undefined;
      try {
        file = await open(fileOf(objectKey), "r");
        const { size, mtimeMs } = await file.stat();
        const { buffer, bytesRead } = await file.read(Buffer.alloc(sniffBytes), 0, sniffBytes, 0);
        const type = audioTypeOf(buffer.subarray(0, bytesRead))?.contentType;
        return {
          bytes: size,
          contentType: type ?? "application/octet-stream",
          etag: `"${size.toString(16)}-${Math.floor(mtimeMs).toString(16)}"`,
        };
      } catch (error) {
        if (isAbsent(error)) return null;
        throw storeUnavailable("read a recording", error);
      } finally {
        await file?.close();
      }
    },
    async read(objectKey, range) {
      const stream = createReadStream(fileOf(objectKey), range ? { start: range.from, end: range.to } : {});
      await new Promise<void>((resolve, reject) => {
        stream.once("open", () => resolve());
        stream.once("error", (error) => reject(storeUnavailable("read a recording", error)));
      });
      return stream;
    },
    remove,
    async discard(objectKey) {
      await remove(objectKey);
    },
    async tidy() {
      const names = await readdir(unfinished).catch(() => []);
      const abandoned = await Promise.all(names.map((name) => isAbandoned(unfinished, name)));
      const paths = names.filter((_, index) => abandoned[index]).map((name) => join(unfinished, name));
      await Promise.all(paths.map((path) => rm(path, { force: true })));
      return paths.length;
    },
    sign: async () => null,
    close() {},
  };
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.byteLength; ) at += (await file.write(chunk, at)).bytesWritten;
}

/** How often a file is tried to be moved to its name while others remove the folder. */
const triesMax = 20;

/** Moves a synced file to its name and syncs the folders that are new. */
async function giveName(path: string, name: string, root: string): Promise<void> {
  const place = dirname(name);
  for (let tries = 1; ; tries++) {
    try {
      const made = await mkdir(place, { recursive: true, mode: 0o700 });
      await rename(path, name);
      await syncFolders(place, made === undefined ? place : dirname(made), root);
      return;
    } catch (error) {
      // The session's folder was empty, and somebody removed it in between, or while it was made.
      if ((error as { code?: string }).code !== "ENOENT" || tries >= triesMax) throw error;
    }
  }
}

/** A new name is safe when the folder that has it is. */
async function syncFolders(from: string, to: string, root: string): Promise<void> {
  for (let folder = from; ; folder = dirname(folder)) {
    const handle = await open(folder, "r");
    // Some file systems cannot sync a folder; they need not.
    await handle.sync().catch(() => {});
    await handle.close();
    if (folder === to || folder === root || folder === dirname(folder)) return;
  }
}

/** Whether the process that wrote an unfinished file is dead, as far as can be told from here. */
async function isAbandoned(folder: string, name: string): Promise<boolean> {
  const found = await stat(join(folder, name)).catch(() => null);
  if (found === null) return false;
  if (Date.now() - found.mtimeMs > abandonedMs) return true;
  const [host, pid] = name.split(".");
  if (host !== hostname().replace(/[^A-Za-z0-9-]/g, "-")) return false;
  // A process of before this one may have had the same number.
  if (Number(pid) === process.pid) return found.birthtimeMs < Date.now() - process.uptime() * 1_000;
  return !isAlive(Number(pid));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
}
