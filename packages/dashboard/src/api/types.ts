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
  MissingReason,
  Outcome,
  Overview,
  PostSessionWebhook,
  Project,
  ProjectInspectedRequest,
  ProjectWebhook,
  ProjectWebhooks,
  Resend,
  RotatedSecret,
  Session,
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

/** What is known of a call's audio. Servers without a store of audio leave out all but the fact itself. */
export type RecordedAudio = NonNullable<SessionDetail["recording"]> & {
  readonly contentType?: string | null;
  readonly bytes?: number | null;
  readonly seconds?: number | null;
  readonly peaks?: "pending" | "made" | "none" | null;
};

/** A call's waveform: for each channel the largest amplitudes, 0 to 1. */
export interface RecordingPeaks {
  readonly seconds: number;
  readonly channels: readonly (readonly number[])[];
}
