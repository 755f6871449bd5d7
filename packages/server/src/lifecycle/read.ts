import type {
  SessionsQuery,
  Session as SessionView,
  Timeline,
  TimelineDelivery,
  TimelineEvent,
  TimelineReport,
  WebhookLog,
} from "@sendoff/contract";
import type pg from "pg";
import type { z } from "zod";
import { decodeCursor, encodeCursor } from "../database/cursor.ts";
import { Filters } from "../database/filters.ts";
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

// An erased session has no key any more: of its audio the counts and the hash are left.
const audioSql = `(
  SELECT json_build_object('contentType', content_type, 'bytes', bytes, 'sha256', encode(sha256, 'hex'),
    'seconds', seconds, 'peaks', CASE WHEN removed_at IS NULL THEN peaks ELSE 'none' END)
  FROM recordings
  WHERE recordings.project_id = sessions.project_id AND recordings.session_id = sessions.session_id
    AND (recordings.object_key = sessions.recording_object_key
      OR (sessions.erased_at IS NOT NULL AND recordings.removed_at IS NOT NULL))
  LIMIT 1) AS audio`;

const audioOf = (row: Record<string, unknown>): AudioFacts | null => (row.audio ?? null) as AudioFacts | null;

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
  pool: pg.Pool,
  projectId: string,
  sessionId: string,
): Promise<{ session: Session; key: number; audio: AudioFacts | null } | null> {
  const { rows } = await pool.query<Record<string, unknown>>(
    `SELECT session_key, ${columns}, ${audioSql} FROM sessions WHERE project_id = $1 AND session_id = $2`,
    [projectId, sessionId],
  );
  const row = rows[0];
  return row === undefined
    ? null
    : { session: sessionOf(row), key: row.session_key as number, audio: audioOf(row) };
}

/** A page of sessions, newest first, and where the next one begins. */
export interface SessionsPage {
  readonly sessions: SessionAnswer[];
  readonly nextCursor: string | null;
  /** Only when pages were asked for by number. */
  readonly pagination?: { readonly page: number; readonly totalPages: number; readonly total: number };
}

/** Lists a project's sessions, newest first. */
export async function listSessions(
  pool: pg.Pool,
  projectId: string,
  query: z.output<typeof SessionsQuery>,
): Promise<SessionsPage> {
  const filters = new Filters()
    // The condition of the index by time (migration 0015), which holds for every row.
    .add("project_id = ? AND version > 0", projectId)
    .add("channel = ?", query.channel)
    .add("call_status = ?", query.callStatus)
    .add("state = ?", query.state)
    .add("created_at >= ?", query.from)
    .add("created_at < ?", query.to)
    .add("(position(? in session_id) > 0 OR position(? in extracted_variables) > 0)", query.text);
  const numbered = query.page !== undefined || query.pageSize !== undefined;
  return numbered ? numberedPage(pool, filters, query) : cursorPage(pool, filters, query);
}

async function cursorPage(
  pool: pg.Pool,
  filters: Filters,
  query: z.output<typeof SessionsQuery>,
): Promise<SessionsPage> {
  if (query.cursor !== undefined) {
    const [microseconds, key] = decodeCursor(query.cursor, [/^\d{1,16}$/, /^\d{1,18}$/]);
    filters.add(
      `(created_at, session_key) <
         (timestamptz 'epoch' + ?::bigint * interval '1 microsecond', ${filters.parameter(key)}::bigint)`,
      microseconds,
    );
  }
  const { rows } = await pool.query<Record<string, unknown>>(
    `SELECT session_key, (extract(epoch FROM created_at) * 1000000)::bigint AS place, ${columns}, ${audioSql}
     FROM sessions ${filters.where}
     ORDER BY created_at DESC, session_key DESC LIMIT ${filters.parameter(query.limit + 1)}`,
    filters.values,
  );
  const page = rows.slice(0, query.limit);
  const last = page.at(-1);
  const more = rows.length > query.limit && last !== undefined;
  return {
    sessions: page.map((row) => viewSession(sessionOf(row), audioOf(row))),
    nextCursor: more ? encodeCursor([last.place as number, last.session_key as number]) : null,
  };
}

async function numberedPage(
  pool: pg.Pool,
  filters: Filters,
  query: z.output<typeof SessionsQuery>,
): Promise<SessionsPage> {
  const page = query.page ?? 1;
  const pageSize = query.pageSize ?? query.limit;
  const counted = await pool.query<{ total: number }>(
    `SELECT count(*) AS total FROM sessions ${filters.where}`,
    filters.values,
  );
  const total = counted.rows[0]?.total ?? 0;
  const { rows } = await pool.query<Record<string, unknown>>(
    `SELECT ${columns}, ${audioSql} FROM sessions ${filters.where} ORDER BY created_at DESC, session_key DESC
     LIMIT ${filters.parameter(pageSize)} OFFSET ${filters.parameter((page - 1) * pageSize)}`,
    filters.values,
  );
  return {
    sessions: rows.map((row) => viewSession(sessionOf(row), audioOf(row))),
    nextCursor: null,
    pagination: { page, totalPages: Math.ceil(total / pageSize), total },
  };
}

/** What happened to a session: its reports, events, deliveries and attempts. */
export async function readTimeline(
  pool: pg.Pool,
  session: Session,
  sessionKey: number,
  attempts: WebhookLog[],
): Promise<Timeline> {
  const [events, owed] = await Promise.all([
    pool.query<Omit<z.output<typeof TimelineEvent>, "emittedAt"> & { emittedAt: Date }>(
      `SELECT event, webhook_id AS "webhookId", emitted_at AS "emittedAt", deliveries,
         unsent_reason AS "unsentReason", encode(payload_sha256, 'hex') AS "payloadSha256" FROM events WHERE session_key = $1 ORDER BY event_id`,
      [sessionKey],
    ),
    pool.query<z.output<typeof TimelineDelivery>>(
      `SELECT events.event, deliveries.endpoint_id AS "endpointId", endpoints.url, deliveries.state,
         deliveries.attempts_before + deliveries.attempts AS attempts
       FROM deliveries JOIN events USING (event_id) JOIN endpoints USING (endpoint_id)
       WHERE deliveries.session_key = $1 ORDER BY delivery_id`,
      [sessionKey],
    ),
  ]);
  return {
    reports: reportsOf(session),
    events: events.rows.map((row) => ({ ...row, emittedAt: row.emittedAt.toISOString() })),
    deliveries: [...attempts.flatMap(settledDelivery), ...owed.rows],
    attempts,
  };
}

/** A settled delivery is its last attempt's row. */
function settledDelivery(log: WebhookLog): z.output<typeof TimelineDelivery>[] {
  if (log.settledAs === null) return [];
  return [
    {
      event: log.event,
      endpointId: log.endpointId,
      url: log.url,
      state: log.settledAs,
      attempts: log.attempt,
    },
  ];
}

function reportsOf(session: Session): z.output<typeof TimelineReport>[] {
  const byOf = (endedBy: Session["conversationEndedBy"]): "runtime" | "sendoff" =>
    endedBy === "runtime" ? "runtime" : "sendoff";
  const reports = [
    { type: "created" as const, at: session.openedAt, by: "runtime" as const },
    {
      type: "conversation-ended" as const,
      at: session.conversationReportedAt,
      by: byOf(session.conversationEndedBy),
    },
    { type: "call-ended" as const, at: session.callReportedAt, by: byOf(session.callEndedBy) },
    { type: "recording-processed" as const, at: session.recordingReportedAt, by: "runtime" as const },
  ];
  return reports
    .flatMap(({ type, at, by }) => (at === null ? [] : [{ type, by, reportedAt: at.toISOString() }]))
    .sort((left, right) => left.reportedAt.localeCompare(right.reportedAt));
}
