import type { ColumnType } from "../database/columns.ts";
import type { Session } from "./session.ts";

/** How a column of `sessions` comes from a {@link Session} and goes back; the one list of them. */
interface Column {
  readonly name: string;
  readonly type: ColumnType;
  readonly field: keyof Session;
}

/** Columns that a report can write, in the order of the statement's arrays. */
export const sessionColumns: readonly Column[] = [
  { name: "project_id", type: "uuid", field: "projectId" },
  { name: "session_id", type: "text", field: "sessionId" },
  { name: "version", type: "int", field: "version" },
  { name: "channel", type: "text", field: "channel" },
  { name: "channel_assumed", type: "boolean", field: "channelAssumed" },
  { name: "created_at", type: "timestamptz", field: "createdAt" },
  { name: "opened_at", type: "timestamptz", field: "openedAt" },
  { name: "variables", type: "text", field: "variables" },
  { name: "start_node_id", type: "text", field: "startNodeId" },
  { name: "current_node_id", type: "text", field: "currentNodeId" },
  { name: "messages_count", type: "bigint", field: "messagesCount" },
  { name: "extracted_variables", type: "text", field: "extractedVariables" },
  { name: "conversation_reported_at", type: "timestamptz", field: "conversationReportedAt" },
  { name: "conversation_ended_at", type: "timestamptz", field: "conversationEndedAt" },
  { name: "conversation_ended_by", type: "text", field: "conversationEndedBy" },
  { name: "call_reported_at", type: "timestamptz", field: "callReportedAt" },
  { name: "call_ended_at", type: "timestamptz", field: "callEndedAt" },
  { name: "call_ended_by", type: "text", field: "callEndedBy" },
  { name: "call_status", type: "text", field: "callStatus" },
  { name: "call_duration", type: "double precision", field: "callDuration" },
  { name: "recording_reported_at", type: "timestamptz", field: "recordingReportedAt" },
  { name: "recording_success", type: "boolean", field: "recordingSuccess" },
  { name: "recording_object_key", type: "text", field: "recordingObjectKey" },
  { name: "recording_error", type: "text", field: "recordingError" },
  { name: "finalized_at", type: "timestamptz", field: "finalizedAt" },
  { name: "deadline_at", type: "timestamptz", field: "deadlineAt" },
  { name: "late_conversation", type: "text", field: "lateConversation" },
  { name: "late_call", type: "text", field: "lateCall" },
  { name: "erased_at", type: "timestamptz", field: "erasedAt" },
];

/** A row of `sessions` as a {@link Session}. */
export function sessionOf(row: Record<string, unknown>): Session {
  return Object.fromEntries(
    sessionColumns.map(({ name, field }) => [field, row[name] ?? null]),
  ) as unknown as Session;
}
