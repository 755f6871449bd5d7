/** Types alone: the contract's schemas would bring zod into the bundle. */
export type {
  Agent,
  AgentWebhook,
  CallStatus,
  Channel,
  CreatedProject,
  CreatedProjectWebhook,
  DashboardSession,
  DeliveryPolicy,
  DeliveryState,
  Endpoint,
  ErrorBody,
  EventName,
  MissingReason,
  Outcome,
  Overview,
  OverviewBucket,
  PostSessionWebhook,
  Project,
  ProjectInspectedRequest,
  ProjectWebhook,
  ProjectWebhooks,
  RecordingPeaks,
  Resend,
  RotatedSecret,
  Session,
  SessionDetail,
  SessionErasure,
  SessionState,
  SessionsPage,
  Trigger,
  UnsentEvent,
  UnsentReason,
  WebhookLog,
  WebhookLogDetail,
} from "@sendoff/contract";
import type { Timeline } from "@sendoff/contract";

export type TimelineReport = Timeline["reports"][number];
export type TimelineEvent = Timeline["events"][number];
export type TimelineDelivery = Timeline["deliveries"][number];
export type TimelineMissing = Timeline["missing"][number];
