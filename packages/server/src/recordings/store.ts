import { rm, stat } from "node:fs/promises";
import { join } from "node:path";

/**
 * Where the audio of calls lies. The seam for other stores: one that is an object store removes its object here, and
 * whoever calls need not know (retention/recordings.ts calls it outside of any transaction).
 */
export interface RecordingStore {
  /**
   * Removes the audio of a key. Nothing, when there is none: it may be called again.
   *
   * @returns whether there was audio.
   * @throws Error when it may still be there.
   */
  remove(objectKey: string): Promise<boolean>;
}

/** Audio in a folder, by object key. Keys were checked when they were reported: they cannot lead out of it (links.ts). */
export function createDiskRecordings(folder: string): RecordingStore {
  return {
    async remove(objectKey) {
      const file = join(folder, objectKey);
      const found = await stat(file).catch(() => null);
      if (found !== null && !found.isFile()) return false;
      await rm(file, { force: true });
      return found !== null;
    },
  };
}
