import type pg from "pg";
import { recordingRemoved, recordingsToRemove } from "../lifecycle/erase.ts";
import type { RecordingStore } from "../recordings/store.ts";
import { forgetRecording, recordingGone, settleUnkept } from "../recordings/table.ts";

/**
 * Removes the audio of erased sessions, and notes it. A key is forgotten only after its audio is gone: whatever dies
 * between the two, somebody comes again.
 *
 * @param sessionKey of one session, or null for all that are left.
 * @returns how many had audio.
 * @throws Error of the first removal that failed.
 */
export async function removeRecordings(
  parts: { readonly pool: pg.Pool; readonly recordings: Pick<RecordingStore, "remove"> },
  sessionKey: number | null,
): Promise<number> {
  let removed = 0;
  for (const one of await recordingsToRemove(parts.pool, sessionKey)) {
    if (await parts.recordings.remove(one.objectKey)) removed += 1;
    await recordingGone(parts.pool, one.sessionKey, one.objectKey);
    await recordingRemoved(parts.pool, one.sessionKey);
  }
  return removed;
}

/**
 * Removes what uploads have left whose processes died: their objects, or the parts of them that were stored, and their
 * rows. What a session refers to is kept.
 *
 * @returns how many uploads there were.
 * @throws Error of the first removal that failed.
 */
export async function removeUnkept(parts: {
  readonly pool: pg.Pool;
  readonly recordings: Pick<RecordingStore, "discard">;
}): Promise<number> {
  let removed = 0;
  for (const { uploaded, ...place } of await settleUnkept(parts.pool)) {
    // Audio that was reported by its key was there before, and belongs to whoever put it there.
    if (uploaded) await parts.recordings.discard(place.objectKey);
    await forgetRecording(parts.pool, place);
    if (uploaded) removed += 1;
  }
  return removed;
}
