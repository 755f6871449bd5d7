import { z } from "zod";
import * as agent from "./agent.ts";
import * as dashboard from "./dashboard.ts";
import * as endpoints from "./endpoints.ts";
import * as errors from "./errors.ts";
import * as events from "./events.ts";
import * as feed from "./feed.ts";
import * as inspector from "./inspector.ts";
import * as overview from "./overview.ts";
import * as projectWebhooks from "./project-webhooks.ts";
import * as projects from "./projects.ts";
import * as recordings from "./recordings.ts";
import * as reports from "./reports.ts";
import * as resends from "./resends.ts";
import * as sessions from "./sessions.ts";
import * as textSessions from "./text-sessions.ts";
import * as logs from "./webhook-logs.ts";

/** The schemas that are published as files, by the name of the file. */
export const publishedSchemas: Record<string, z.ZodType> = {
  "event-payload": events.EventPayload,
  "session-started": events.SessionStartedPayload,
  "session-ended": events.SessionEndedPayload,
  "call-ended": events.CallEndedPayload,
  "session-finalized": events.SessionFinalizedPayload,
  "recording-ready": events.RecordingPayload,
  "api-create-project": projects.CreateProject,
  "api-project": projects.Project,
  "api-created-project": projects.CreatedProject,
  "api-update-agent": agent.UpdateAgent,
  "api-agent": agent.Agent,
  "api-create-session": reports.CreateSession,
  "api-session-progress": reports.SessionProgress,
  "api-conversation-ended": reports.ConversationEnded,
  "api-call-ended": reports.CallEnded,
  "api-recording-processed": reports.RecordingProcessed,
  "api-report": reports.Report,
  "api-report-answer": sessions.ReportAnswer,
  "api-reports": reports.Reports,
  "api-report-item-answer": sessions.ReportItemAnswer,
  "api-session": sessions.Session,
  "api-created-session": sessions.CreatedSession,
  "api-listed-session": sessions.ListedSession,
  "api-sessions-page": sessions.SessionsPage,
  "api-session-detail": sessions.SessionDetail,
  "api-session-erasure": sessions.SessionErasure,
  "api-uploaded-recording": sessions.UploadedRecording,
  "api-recording-peaks": recordings.RecordingPeaks,
  "api-webhook-log": logs.WebhookLog,
  "api-webhook-log-detail": logs.WebhookLogDetail,
  "api-create-project-webhook": projectWebhooks.CreateProjectWebhook,
  "api-created-project-webhook": projectWebhooks.CreatedProjectWebhook,
  "api-project-webhooks": projectWebhooks.ProjectWebhooks,
  "api-check-project-webhook": projectWebhooks.CheckProjectWebhook,
  "api-project-webhook-check": projectWebhooks.ProjectWebhookCheck,
  "api-removed-project-webhook": projectWebhooks.RemovedProjectWebhook,
  "api-create-text-session": textSessions.CreateTextSession,
  "api-created-text-session": textSessions.CreatedTextSession,
  "api-text-session-state": textSessions.TextSessionState,
  "api-end-text-session": textSessions.EndTextSession,
  "api-ended-text-session": textSessions.EndedTextSession,
  "api-resend": resends.Resend,
  "api-test-event": resends.TestEvent,
  "api-rotate-secret": resends.RotateSecret,
  "api-rotated-secret": resends.RotatedSecret,
  "api-reconcile": resends.Reconcile,
  "api-missing-event": resends.MissingEvent,
  "api-feed-event": feed.FeedEvent,
  "api-inspected-request": inspector.InspectedRequest,
  "api-project-inspected-request": inspector.ProjectInspectedRequest,
  "api-endpoint": endpoints.Endpoint,
  "api-unsent-event": endpoints.UnsentEvent,
  "api-overview": overview.Overview,
  "api-sign-in": dashboard.SignIn,
  "api-dashboard-session": dashboard.DashboardSession,
  "api-error": errors.ErrorBody,
};

/** One published schema as JSON Schema 2020-12, as the one who reads or writes the JSON sees it. */
export function jsonSchema(name: string): object {
  const schema = publishedSchemas[name];
  if (schema === undefined) throw new RangeError(`no published schema is called ${name}`);
  return z.toJSONSchema(schema, { io: "input", target: "draft-2020-12" });
}
