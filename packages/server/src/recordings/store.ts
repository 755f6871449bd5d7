import type { Readable } from "node:stream";
import { Refusal } from "../refusal.ts";

/** An object as it lies in a store. */
export interface StoredObject {
  readonly bytes: number;
  /** On disk what it is by its bytes, in a bucket what it was stored as. */
  readonly contentType: string;
  /** Changes with the object; for HTTP. */
  readonly etag: string;
}

/** Bytes from and to, both included. */
export interface ByteRange {
  readonly from: number;
  readonly to: number;
}

/**
 * Where the audio of calls and its waveforms lie: the local disk or an S3-compatible bucket, by object key. Keys were
 * checked when they were reported or made: they cannot lead out of a project's prefix (keys.ts). What a store cannot do
 * because it is full, closed or away it says as a Refusal recording_store_unavailable.
 */
export interface RecordingStore {
  /** Most uploads at a time in one process: what each takes of memory is the store's matter. */
  readonly uploadsMax: number;
  /** @throws Refusal storage_full when it is known already that so many bytes more have no room. */
  expect(bytes: number): Promise<void>;
  /**
   * Stores an object, whole or not at all: when it resolves it can be read and survives a crash; when it rejects, also
   * because its source did, there is nothing to be read at the key.
   */
  write(objectKey: string, content: AsyncIterable<Uint8Array>, contentType: string): Promise<void>;
  /** null: there is none that can be read. */
  find(objectKey: string): Promise<StoredObject | null>;
  /** The bytes of an object that was found. Whoever reads it destroys it. */
  read(objectKey: string, range?: ByteRange): Promise<Readable>;
  /**
   * Removes an object with its waveform. Nothing, when there is none: it may be called again.
   *
   * @returns whether there was an object.
   * @throws Refusal when it may still be there.
   */
  remove(objectKey: string): Promise<boolean>;
  /** The same for an upload whose process died, with all parts of it that were stored. */
  discard(objectKey: string): Promise<void>;
  /** Removes what dead processes have left of writes that were under way; how many. */
  tidy(): Promise<number>;
  /**
   * A link that whoever has it can read the object with. null: the store has none of its own, Sendoff serves it.
   *
   * @param now from when on it works, in milliseconds by the database's clock.
   */
  sign(objectKey: string, now: number, lifeMs: number): Promise<SignedLink | null>;
  close(): void;
}

export interface SignedLink {
  readonly url: string;
  /** The same without what makes it work, for logs. */
  readonly shownUrl: string;
  /** Until when it works, in milliseconds since 1970. */
  readonly expiresMs: number;
}

/** What a store answers when it cannot do its work. */
export function storeUnavailable(did: string, error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  const { code, name, message } = error as { code?: string; name?: string; message?: string };
  const reason = code ?? (name === "Error" ? message : name) ?? String(error);
  return new Refusal(
    "recording_store_unavailable",
    `The store of recordings could not ${did} (${reason}). Try again; when it goes on, look at the disk or the bucket that SENDOFF_RECORDINGS names.`,
  );
}
