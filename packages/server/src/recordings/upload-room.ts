import type pg from "pg";
import { Refusal } from "../refusal.ts";
import type { RecordingStore } from "./store.ts";
import { type RecordingPlace, readUse, takeRoom } from "./table.ts";
import { bytesText, type UploadLimits } from "./upload-limits.ts";

interface RoomParts {
  readonly pool: pg.Pool;
  readonly store: RecordingStore;
  readonly limits: UploadLimits;
}

/** So much of its project's room an upload takes at a time: each takes a statement. */
const stepBytes = 4 * 2 ** 20;

/** The rest of the body is still on its way: the connection cannot carry another request. */
const headers = { connection: "close" };

/**
 * Refuses what is known to have no room before its bytes come.
 *
 * @param bytes as many as its sender says that it has; 0 when they are not told.
 * @throws Refusal body_too_large, storage_full.
 */
export async function expectRoom(
  { pool, store, limits }: RoomParts,
  projectId: string,
  bytes: number,
): Promise<void> {
  if (bytes > limits.bytesMax) throw tooLarge(limits.bytesMax);
  const used = await readUse(pool, projectId);
  if (used + bytes > limits.projectBytesMax) throw projectFull(used, limits.projectBytesMax);
  await store.expect(bytes);
}

/** Room of a project for one upload as it grows. */
export function createRoom(
  pool: pg.Pool,
  place: RecordingPlace,
  projectBytesMax: number,
): { reach(bytes: number): Promise<void> } {
  let taken = 0;
  return {
    async reach(bytes) {
      if (bytes <= taken) return;
      // Near the end of the room no whole step may be left, but what is needed.
      for (const more of [Math.max(stepBytes, bytes - taken), bytes - taken]) {
        if (await takeRoom(pool, place, more, projectBytesMax)) {
          taken += more;
          return;
        }
      }
      throw projectFull(await readUse(pool, place.projectId), projectBytesMax);
    },
  };
}

export const tooLarge = (bytesMax: number): Refusal =>
  new Refusal(
    "body_too_large",
    `The audio has more than ${bytesText(bytesMax)} (SENDOFF_UPLOAD_BYTES_MAX); nothing was kept of it. Send it compressed.`,
    { headers },
  );

const projectFull = (used: number, bytesMax: number): Refusal =>
  new Refusal(
    "storage_full",
    `The recordings of this project hold ${bytesText(used)} of the ${bytesText(bytesMax)} that they may (SENDOFF_PROJECT_RECORDINGS_MAX), with those under way; nothing was kept of this upload. Erase sessions or raise the limit, then send it again.`,
    { headers },
  );
