import type pg from "pg";
import { recordingRemoved, recordingsToRemove } from "../lifecycle/erase.ts";
import type { RecordingStore } from "../recordings/store.ts";

/**
 * Removes the audio of erased sessions, and notes it. A key is forgotten only after its audio is gone: whatever dies
 * between the two, somebody comes again.
 *
 * @param sessionKey of one session, or null for all that are left.
 * @returns how many had audio.
 * @throws Error of the first removal that failed.
 */
export async function removeRecordings(
  parts: { readonly pool: pg.Pool; readonly recordings: RecordingStore },
  sessionKey: number | null,
): Promise<number> {
  let removed = 0;
  for (const one of await recordingsToRemove(parts.pool, sessionKey)) {
    if (await parts.recordings.remove(one.objectKey)) removed += 1;
    await recordingRemoved(parts.pool, one.sessionKey);
  }
  return removed;
}
