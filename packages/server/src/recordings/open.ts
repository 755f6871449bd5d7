import type { Logger } from "../log.ts";
import { createDiskRecordings } from "./disk.ts";
import type { BucketSetting } from "./setting.ts";
import type { RecordingStore } from "./store.ts";

/**
 * The store that the settings name, without what a process that was killed has left in it.
 *
 * @param bucket null: the folder.
 */
export async function openRecordings(
  bucket: BucketSetting | null,
  folder: string,
  log: Logger,
): Promise<RecordingStore> {
  const store = await openStore(bucket, folder);
  const unfinished = await store.tidy();
  if (unfinished > 0) log.info({ event: "recordings.tidied", unfinished });
  return store;
}

async function openStore(bucket: BucketSetting | null, folder: string): Promise<RecordingStore> {
  if (bucket === null) return createDiskRecordings(folder);
  const { createS3Recordings } = await import("./s3.ts");
  return createS3Recordings(bucket);
}
