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

/** A stored session in the form of the API. */
export function viewSession(session: Session): SessionAnswer {
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
          },
    late: { conversation: jsonText(session.lateConversation), call: jsonText(session.lateCall) },
  };
}

const columns = sessionColumns.map(({ name }) => name).join(", ");

/** One session, or null. `key` is for other tables. */
export async function readSession(
  pool: pg.Pool,
  projectId: string,
  sessionId: string,
): Promise<{ session: Session; key: number } | null> {
  const { rows } = await pool.query<Record<string, unknown>>(
    `SELECT session_key, ${columns} FROM sessions WHERE project_id = $1 AND session_id = $2`,
    [projectId, sessionId],
  );
  const row = rows[0];
  return row === undefined ? null : { session: sessionOf(row), key: row.session_key as number };
}
