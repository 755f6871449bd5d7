import type pg from "pg";
import type { ReportIntake } from "../lifecycle/apply.ts";
import type { Applied } from "../lifecycle/batch.ts";
import type { Graces } from "../lifecycle/deadline.ts";
import { readRecorded } from "../lifecycle/recordable.ts";
import type { Report } from "../lifecycle/session.ts";
import type { RecordingStore } from "../recordings/store.ts";
import { forgetRecording, keepRecording, noteReported } from "../recordings/table.ts";
import { Refusal } from "../refusal.ts";

/** What the report of a recording is taken with. */
export interface RecordedParts {
  readonly pool: pg.Pool;
  readonly intake: ReportIntake;
  readonly graces: Graces;
  readonly store: RecordingStore;
  /** Told when a recording is kept: its peaks are due. */
  readonly onKept: () => void;
}

/** The report that a call's audio lies at a key. */
export const recordedAt = (objectKey: string): Report => ({
  type: "recording-processed",
  success: true,
  objectKey,
  error: null,
});

/**
 * Takes the report of audio that is in the store already. `recording.ready` is emitted only when it can be read.
 *
 * @throws Refusal recording_unreadable when it cannot, or what the intake refuses.
 */
export async function takeRecorded(
  parts: RecordedParts,
  projectId: string,
  sessionId: string,
  objectKey: string,
): Promise<Applied> {
  const { pool, intake, store } = parts;
  const report = recordedAt(objectKey);
  const found = await store.find(objectKey);
  if (found === null || found.bytes === 0) {
    // A repeat is a duplicate and a contradiction is one, whatever has become of the audio since.
    const recorded = await readRecorded(pool, parts.graces, projectId, sessionId);
    if (recorded !== null) return intake.apply(projectId, sessionId, report);
    throw new Refusal(
      "recording_unreadable",
      `There is no audio that can be read at objectKey ${JSON.stringify(objectKey.slice(0, 200))}. Report it when it is stored whole, or upload the audio by PUT .../recording.`,
      { details: [{ path: "objectKey", message: "expected the key of audio that can be read" }] },
    );
  }
  const place = { projectId, sessionId, objectKey };
  await noteReported(pool, place, found);
  let applied: Applied;
  try {
    applied = await intake.apply(projectId, sessionId, report);
  } catch (error) {
    // After any other error nobody knows whether it was committed: the round of retention asks the session later.
    if (error instanceof Refusal && error.code !== "database_unavailable") await forgetRecording(pool, place);
    throw error;
  }
  await keepRecording(pool, place);
  parts.onKept();
  return applied;
}
