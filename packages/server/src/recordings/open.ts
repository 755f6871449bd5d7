import { mkdir } from "node:fs/promises";
import type { Logger } from "../log.ts";
import { createDiskRecordings } from "./disk.ts";
import type { BucketSetting } from "./setting.ts";
import type { RecordingStore } from "./store.ts";

/**
 * The store that the settings name, without what a process that was killed has left in it.
 *
 * @param bucket null: the folder.
 * @param reserveBytes of the folder's disk that stay free.
 */
export async function openRecordings(
  bucket: BucketSetting | null,
  folder: string,
  reserveBytes: number,
  log: Logger,
): Promise<RecordingStore> {
  const store = await openStore(bucket, folder, reserveBytes);
  const unfinished = await store.tidy();
  if (unfinished > 0) log.info({ event: "recordings.tidied", unfinished });
  return store;
}

/** Origins, besides our own, to which the store's links lead: the dashboard plays audio from there. */
export async function originsOf(store: RecordingStore): Promise<string[]> {
  const link = await store.sign("projects", Date.now(), 60_000);
  return link === null ? [] : [new URL(link.url).origin];
}

async function openStore(
  bucket: BucketSetting | null,
  folder: string,
  reserveBytes: number,
): Promise<RecordingStore> {
  if (bucket === null) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return createDiskRecordings(folder, reserveBytes);
  }
  const { createS3Recordings } = await import("./s3.ts");
  return createS3Recordings(bucket);
}
