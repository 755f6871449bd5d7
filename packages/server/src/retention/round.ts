import type pg from "pg";
import { removeRequestsBefore } from "../inspector/inspector.ts";
import { type AgedPlace, agedBeginning, agedSessions, removeSessions } from "../lifecycle/aged.ts";
import type { Logger } from "../log.ts";
import { dropLogsBefore } from "../logbook/aged.ts";
import type { Metrics } from "../metrics.ts";
import type { RecordingStore } from "../recordings/store.ts";
import { removeRecordings, removeUnkept } from "./recordings.ts";

export interface RetentionParts {
  readonly pool: pg.Pool;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly recordings: Pick<RecordingStore, "remove" | "discard" | "tidy">;
  /** What is older goes. */
  readonly retentionMs: number;
}

/** What one round removed. */
export interface Removed {
  partitions: number;
  sessions: number;
  events: number;
  recordings: number;
  inspectorRequests: number;
}

/** Sessions of one commit. Small, so that vacuum, replicas and whoever wants a row are never far behind. */
const batchMax = 500;

/** Any number will do, as long as it is this one everywhere. */
const retentionLock = 7_340_017;

/**
 * One round of retention (behaviour, section 5): removes what is past its age, in bounded steps. Of all processes one
 * does it at a time; the others find the lock taken and leave it.
 *
 * @param signal ends the round between two steps.
 * @returns what was removed, or null when another process is at it.
 */
export async function runRetention(parts: RetentionParts, signal: AbortSignal): Promise<Removed | null> {
  const client = await parts.pool.connect();
  let broken: Error | undefined;
  try {
    const { rows } = await client.query<{ taken: boolean; before: Date }>(
      `SELECT pg_try_advisory_lock($1) AS taken, now() - $2 * interval '1 millisecond' AS before`,
      [retentionLock, parts.retentionMs],
    );
    const { taken, before } = rows[0] as { taken: boolean; before: Date };
    if (!taken) return null;
    try {
      return await removeBefore(parts, before, signal);
    } finally {
      await client.query("SELECT pg_advisory_unlock($1)", [retentionLock]).catch((error: Error) => {
        // The lock ends with the connection.
        broken = error;
      });
    }
  } finally {
    client.release(broken);
  }
}

async function removeBefore(parts: RetentionParts, before: Date, signal: AbortSignal): Promise<Removed> {
  const { pool, log } = parts;
  const removed: Removed = { partitions: 0, sessions: 0, events: 0, recordings: 0, inspectorRequests: 0 };
  const { dropped, busy } = await dropLogsBefore(pool, before);
  removed.partitions = dropped.length;
  if (busy.length > 0) log.warn({ event: "retention.partitions_busy", partitions: busy });
  // Left over from an erasure or an upload whose process died.
  for (const left of [
    () => removeRecordings(parts, null),
    () => removeUnkept(parts),
    () => parts.recordings.tidy(),
  ]) {
    removed.recordings += await left().catch((error: Error) => {
      log.error({ event: "retention.recording_failed", reason: error.message });
      return 0;
    });
  }
  await removeAgedSessions(parts, before, signal, removed);
  for (let last = batchMax; last === batchMax && !signal.aborted; ) {
    last = await removeRequestsBefore(pool, before, batchMax);
    removed.inspectorRequests += last;
  }
  return removed;
}

async function removeAgedSessions(
  parts: RetentionParts,
  before: Date,
  signal: AbortSignal,
  removed: Removed,
): Promise<void> {
  for (let place: AgedPlace | null = agedBeginning; place !== null && !signal.aborted; ) {
    const { sessions, next } = await agedSessions(parts.pool, place, before, batchMax);
    place = next;
    const keys: number[] = [];
    for (const session of sessions) {
      if (session.removable && (await withoutAudio(parts, session.objectKey, removed))) {
        keys.push(session.sessionKey);
      }
    }
    if (keys.length === 0) continue;
    const gone = await removeSessions(parts.pool, keys, before);
    removed.sessions += gone.sessions;
    removed.events += gone.events;
  }
}

/** Removes a session's audio first: with its row the key would be forgotten. */
async function withoutAudio(
  { recordings, log }: RetentionParts,
  objectKey: string | null,
  removed: Removed,
): Promise<boolean> {
  if (objectKey === null) return true;
  try {
    if (await recordings.remove(objectKey)) removed.recordings += 1;
    return true;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    log.error({ event: "retention.recording_failed", reason });
    return false;
  }
}
