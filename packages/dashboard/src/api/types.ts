/** Types alone: the contract's schemas would bring zod into the bundle. */
export type {
  Agent,
  AgentWebhook,
  CallStatus,
  Channel,
  CreatedProject,
  CreatedProjectWebhook,
  DashboardSession,
  DeliveryState,
  Endpoint,
  ErrorBody,
  EventName,
  ListedSession,
  MissingReason,
  Outcome,
  Overview,
  PostSessionWebhook,
  Project,
  ProjectInspectedRequest,
  ProjectWebhook,
  ProjectWebhooks,
  RecordingPeaks,
  Resend,
  RotatedSecret,
  SessionDetail,
  SessionState,
  Trigger,
  UnsentEvent,
  UnsentReason,
  WebhookLog,
  WebhookLogDetail,
} from "@sendoff/contract";

import type { SessionDetail, Timeline } from "@sendoff/contract";

export type TimelineReport = Timeline["reports"][number];
export type TimelineEvent = Timeline["events"][number];
export type TimelineDelivery = Timeline["deliveries"][number];
export type TimelineMissing = Timeline["missing"][number];

export type RecordedAudio = NonNullable<SessionDetail["recording"]>;
