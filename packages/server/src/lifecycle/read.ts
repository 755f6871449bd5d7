import type { Session as SessionView } from "@sendoff/contract";
import type pg from "pg";
import { JsonText } from "../json-text.ts";
import { type Session, stateOf } from "./session.ts";
import { sessionColumns, sessionOf } from "./store.ts";

/** A session as it is answered, its variables as the text that was given. */
export type SessionAnswer = Omit<SessionView, "extractedVariables" | "variables" | "late"> & {
  readonly extractedVariables: JsonText;
  readonly variables: JsonText | null;
  readonly late: { readonly conversation: JsonText | null; readonly call: JsonText | null };
};

const jsonText = (text: string | null): JsonText | null => (text === null ? null : new JsonText(text));

const iso = (date: Date | null): string | null => date?.toISOString() ?? null;

/** What is known of a session's audio, from the table `recordings`. */
export type AudioFacts = Pick<
  NonNullable<SessionView["recording"]>,
  "contentType" | "bytes" | "sha256" | "seconds" | "peaks"
>;

const unknownAudio: AudioFacts = {
  contentType: null,
  bytes: null,
  sha256: null,
  seconds: null,
  peaks: null,
};

/** SQL of a column `audio` beside those of `sessions`. Of an erased session, which has no key, counts and the hash are left. */
export const audioSql = `(
  SELECT json_build_object('contentType', content_type, 'bytes', bytes, 'sha256', encode(sha256, 'hex'),
    'seconds', seconds, 'peaks', CASE WHEN removed_at IS NULL THEN peaks ELSE 'none' END)
  FROM recordings
  WHERE recordings.project_id = sessions.project_id AND recordings.session_id = sessions.session_id
    AND (recordings.object_key = sessions.recording_object_key
      OR (sessions.erased_at IS NOT NULL AND recordings.removed_at IS NOT NULL))
  LIMIT 1) AS audio`;

export const audioOf = (row: Record<string, unknown>): AudioFacts | null =>
  (row.audio ?? null) as AudioFacts | null;

/** A stored session in the form of the API. */
export function viewSession(session: Session, audio: AudioFacts | null): SessionAnswer {
  return {
    sessionId: session.sessionId,
    projectId: session.projectId,
    channel: session.channel,
    state: stateOf(session),
    createdAt: session.createdAt.toISOString(),
    currentNodeId: session.currentNodeId,
    messagesCount: session.messagesCount,
    extractedVariables: new JsonText(session.extractedVariables),
    variables: jsonText(session.variables),
    conversationEndedAt: iso(session.conversationEndedAt ?? session.conversationReportedAt),
    callEndedAt: iso(session.callEndedAt ?? session.callReportedAt),
    callStatus: session.callStatus,
    callDuration: session.callDuration,
    finalizedAt: iso(session.finalizedAt),
    erasedAt: iso(session.erasedAt),
    recording:
      session.recordingReportedAt === null
        ? null
        : {
            success: session.recordingSuccess === true,
            objectKey: session.recordingObjectKey,
            error: session.recordingError,
            reportedAt: session.recordingReportedAt.toISOString(),
            ...(audio ?? unknownAudio),
          },
    late: { conversation: jsonText(session.lateConversation), call: jsonText(session.lateCall) },
  };
}

const columns = sessionColumns.map(({ name }) => name).join(", ");

/** One session, or null. `key` is for other tables. */
export async function readSession(
  db: pg.Pool | pg.PoolClient,
  projectId: string,
  sessionId: string,
): Promise<{ session: Session; key: number; audio: AudioFacts | null } | null> {
  const { rows } = await db.query<Record<string, unknown>>(
    `SELECT session_key, ${columns}, ${audioSql} FROM sessions WHERE project_id = $1 AND session_id = $2`,
    [projectId, sessionId],
  );
  const row = rows[0];
  return row === undefined
    ? null
    : { session: sessionOf(row), key: row.session_key as number, audio: audioOf(row) };
}
