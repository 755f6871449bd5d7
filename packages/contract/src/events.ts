import { z } from "zod";
import { ProjectId, SessionId, Timestamp } from "./ids.ts";

/** The channel of a session: a phone call or a text chat. Behaviour, section 1. */
export const Channel = z.enum(["call", "text"]).meta({ id: "Channel" });
export type Channel = z.infer<typeof Channel>;

/** The 14 final statuses of a call, case-sensitive, in the seed's order. */
export const callStatuses = [
  "userHangup",
  "agentHangup",
  "transferred",
  "voicemail",
  "errorTransferred",
  "busy",
  "userNoAnswer",
  "userRejected",
  "invalidNumber",
  "sipTrunkFailure",
  "agentNoAnswer",
  "error",
  "unknown",
  "Ended",
] as const;

/** Final status of a call, as the runtime states it. Source: seed, `call.ended`. */
export const CallStatus = z.enum(callStatuses).meta({ id: "CallStatus" });
export type CallStatus = z.infer<typeof CallStatus>;

/** Statuses of a call that carried no traffic for certain: their duration can only be 0. Behaviour, section 2. */
export const statusesWithoutDuration: readonly CallStatus[] = ["busy", "invalidNumber"];

/** The events that the agent's webhook can subscribe to, in the seed's order. */
export const agentEvents = ["session.ended", "call.ended", "session.finalized", "recording.ready"] as const;

/** Name of an event that the agent's webhook can subscribe to. */
export const AgentEvent = z.enum(agentEvents).meta({ id: "AgentEvent" });
export type AgentEvent = z.infer<typeof AgentEvent>;

/** Every event there is. `session.started` is not in the seeds and goes to project webhooks only. */
export const eventNames = ["session.started", ...agentEvents] as const;
export type EventName = (typeof eventNames)[number];

/** Most elements of a list of events, more than there are events: whatever else it says, it is short. */
const eventsMax = 20;

/** Which events an endpoint subscribes to: one at least, each once. */
export const eventList = <Event extends z.ZodType<string, string>>(event: Event) =>
  z
    .array(event)
    .min(1)
    .max(eventsMax)
    .refine((events) => new Set(events).size === events.length, { error: "expected each event once" });

/** What an agent's webhook gets when it names no `events`: the seed's behaviour before there were several. */
export const defaultEvents: readonly AgentEvent[] = ["session.ended"];

const CallDuration = z
  .number()
  .nonnegative()
  .meta({ description: "Call duration in seconds. 0 for a call that carried no traffic." });
const CurrentNodeId = z
  .string()
  .meta({ description: "Pathway node the agent was on when the conversation ended." });
const MessagesCount = z.int().nonnegative().meta({ description: "Messages exchanged in the session." });
const ExtractedVariables = z
  .looseObject({})
  .meta({ description: "Variables extracted across the session, keyed by name." });
const EmittedAt = Timestamp.meta({
  description: "The moment of emission, ISO 8601 with milliseconds and Z. The same on every attempt.",
});

// The published schemas let unknown fields pass: a receiver must not break on the next field (seed, example).

/** Body of `session.ended`: the conversation has ended. Source: seed. */
export const SessionEndedPayload = z
  .looseObject({
    event: z.literal("session.ended"),
    sessionId: SessionId,
    timestamp: EmittedAt,
    currentNodeId: CurrentNodeId,
    messagesCount: MessagesCount,
    extractedVariables: ExtractedVariables,
    reason: z
      .literal("session_ended")
      .meta({ deprecated: true, description: "Legacy alias for event. Branch on event instead." }),
  })
  .meta({ id: "SessionEndedPayload", description: "The conversation has ended." });
export type SessionEndedPayload = z.infer<typeof SessionEndedPayload>;

/** Body of `call.ended`: the call has ended. Calls only. Source: seed. */
export const CallEndedPayload = z
  .looseObject({
    event: z.literal("call.ended"),
    sessionId: SessionId,
    projectId: ProjectId,
    timestamp: EmittedAt,
    callStatus: CallStatus,
    callDuration: CallDuration,
  })
  .meta({ id: "CallEndedPayload", description: "The call has ended. Calls only." });
export type CallEndedPayload = z.infer<typeof CallEndedPayload>;

const finalizedFields = {
  event: z.literal("session.finalized"),
  sessionId: SessionId,
  projectId: ProjectId,
  timestamp: EmittedAt,
  currentNodeId: CurrentNodeId,
  messagesCount: MessagesCount,
  extractedVariables: ExtractedVariables,
};

/** Body of `session.finalized` of a call. Source: seed. */
export const CallFinalizedPayload = z
  .looseObject({ ...finalizedFields, callStatus: CallStatus, callDuration: CallDuration })
  .meta({ id: "CallFinalizedPayload", description: "Everything is done for this call." });
export type CallFinalizedPayload = z.infer<typeof CallFinalizedPayload>;

/** Body of `session.finalized` of a text session: the call fields are absent, not null. Source: seed. */
export const TextFinalizedPayload = z
  .looseObject({ ...finalizedFields, callStatus: z.never().optional(), callDuration: z.never().optional() })
  .meta({ id: "TextFinalizedPayload", description: "Everything is done for this text session." });
export type TextFinalizedPayload = z.infer<typeof TextFinalizedPayload>;

/** Body of `session.finalized`. Branch on `"callStatus" in payload`. Source: seed. */
export const SessionFinalizedPayload = z
  .union([CallFinalizedPayload, TextFinalizedPayload])
  .meta({ id: "SessionFinalizedPayload", description: "Everything is done for this session. Once, last." });
export type SessionFinalizedPayload = z.infer<typeof SessionFinalizedPayload>;

const recordingFields = {
  event: z.literal("recording.ready"),
  sessionId: SessionId,
  projectId: ProjectId,
  timestamp: EmittedAt,
};

/** Body of `recording.ready` when the recording was stored. Source: seed. */
export const RecordingReadyPayload = z
  .looseObject({
    ...recordingFields,
    success: z.literal(true),
    recordingUrl: z.url().meta({
      description:
        "Temporary download URL, minted when the attempt is made and valid for 15 minutes from then.",
    }),
  })
  .meta({ id: "RecordingReadyPayload", description: "The call's recording can be downloaded." });
export type RecordingReadyPayload = z.infer<typeof RecordingReadyPayload>;

/** Body of `recording.ready` when there is no recording: `recordingUrl` is absent. Source: seed. */
export const RecordingFailedPayload = z
  .looseObject({ ...recordingFields, success: z.literal(false), recordingUrl: z.never().optional() })
  .meta({ id: "RecordingFailedPayload", description: "The call's recording could not be processed." });
export type RecordingFailedPayload = z.infer<typeof RecordingFailedPayload>;

/** Body of `recording.ready`, success or failure. Source: seed. */
export const RecordingPayload = z
  .union([RecordingReadyPayload, RecordingFailedPayload])
  .meta({ id: "RecordingPayload", description: "The call's recording finished processing, either way." });
export type RecordingPayload = z.infer<typeof RecordingPayload>;

/** Body of `session.started`, for project webhooks only. Source: behaviour, section 2. */
export const SessionStartedPayload = z
  .looseObject({
    event: z.literal("session.started"),
    sessionId: SessionId,
    projectId: ProjectId,
    timestamp: EmittedAt,
    channel: Channel,
  })
  .meta({ id: "SessionStartedPayload", description: "A session has started. Project webhooks only." });
export type SessionStartedPayload = z.infer<typeof SessionStartedPayload>;

/** Body of any event: a union discriminated by `event`. */
export const EventPayload = z
  .union([
    SessionStartedPayload,
    SessionEndedPayload,
    CallEndedPayload,
    SessionFinalizedPayload,
    RecordingPayload,
  ])
  .meta({ id: "EventPayload", description: "One POST's body. Branch on event." });
export type EventPayload = z.infer<typeof EventPayload>;

/** The schema of each event's body. */
export const payloadSchemas = {
  "session.started": SessionStartedPayload,
  "session.ended": SessionEndedPayload,
  "call.ended": CallEndedPayload,
  "session.finalized": SessionFinalizedPayload,
  "recording.ready": RecordingPayload,
} as const satisfies Record<EventName, z.ZodType>;
