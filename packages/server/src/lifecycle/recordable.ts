import type pg from "pg";
import { Refusal } from "../refusal.ts";
import type { Graces } from "./deadline.ts";
import { type AudioFacts, readSession } from "./read.ts";
import type { Session } from "./session.ts";
import { transition } from "./transition.ts";

/** A recording that a session has: another one is refused, the same one again is a duplicate. */
export interface Recorded {
  readonly session: Session;
  readonly objectKey: string;
  readonly audio: AudioFacts | null;
}

/**
 * Asks whether a session would take the report of a recording, before audio is received or looked for.
 *
 * @returns the recording that it has, or null: it would take one now.
 * @throws Refusal as the report would be refused: the session is erased, of text, or its recording has failed.
 */
export async function readRecorded(
  pool: pg.Pool,
  graces: Graces,
  projectId: string,
  sessionId: string,
): Promise<Recorded | null> {
  const found = await readSession(pool, projectId, sessionId);
  if (found === null) return null;
  const { session, audio } = found;
  if (session.recordingObjectKey !== null) {
    return { session, objectKey: session.recordingObjectKey, audio };
  }
  const now = new Date();
  const report = { type: "recording-processed", success: true, objectKey: "", error: null } as const;
  const decision = transition(session, report, now, graces);
  if (decision.kind === "refused") throw new Refusal(decision.code, decision.message);
  return null;
}
