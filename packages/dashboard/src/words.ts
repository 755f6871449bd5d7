import type {
  CallStatus,
  DeliveryState,
  EventName,
  MissingReason,
  Outcome,
  SessionState,
  TimelineReport,
  Trigger,
  UnsentReason,
} from "./api/types.ts";

/** Each tone has one colour on every page. `calm` is neither good nor bad. */
export type Tone = "ok" | "bad" | "warn" | "odd" | "calm" | "accent";

interface EventWords {
  readonly meaning: string;
  /** The CSS variable of its colour. */
  readonly color: string;
  readonly callsOnly: boolean;
}

export const eventWords: Record<EventName, EventWords> = {
  "session.started": {
    meaning: "The session's channel became known. For project webhooks only.",
    color: "var(--event-started)",
    callsOnly: false,
  },
  "session.ended": {
    meaning: "The conversation has ended. Carries the last node, the message count and the variables.",
    color: "var(--event-ended)",
    callsOnly: false,
  },
  "call.ended": {
    meaning: "The call has ended, with its status and duration. Calls only.",
    color: "var(--event-call)",
    callsOnly: true,
  },
  "session.finalized": {
    meaning: "Everything is known: conversation and call together. Once per session, after the other two.",
    color: "var(--event-finalized)",
    callsOnly: false,
  },
  "recording.ready": {
    meaning: "The recording was processed. On success with a link that works for 15 minutes. Calls only.",
    color: "var(--event-recording)",
    callsOnly: true,
  },
};

export const eventNames = Object.keys(eventWords) as EventName[];

interface StateWords {
  readonly label: string;
  readonly tone: Tone;
  readonly meaning: string;
}

export const outcomeWords: Record<Outcome, StateWords> = {
  delivered: { label: "Delivered", tone: "ok", meaning: "The endpoint answered 2xx." },
  rejected: { label: "Rejected", tone: "bad", meaning: "The endpoint gave an answer other than 2xx." },
  timed_out: { label: "Timed out", tone: "warn", meaning: "No whole answer within the endpoint's timeout." },
  unreachable: { label: "Unreachable", tone: "bad", meaning: "No connection, or it broke before an answer." },
  blocked: {
    label: "Blocked",
    tone: "odd",
    meaning: "The address is one that Sendoff does not connect to. Nothing was sent.",
  },
  unknown: {
    label: "Unknown",
    tone: "odd",
    meaning: "The process died during the attempt. Nobody can know whether the endpoint got it.",
  },
  cancelled: {
    label: "Cancelled",
    tone: "calm",
    meaning: "The webhook was removed or the session erased before this attempt was made.",
  },
};
export const outcomes = Object.keys(outcomeWords) as Outcome[];

export const deliveryWords: Record<DeliveryState, StateWords> = {
  pending: { label: "Waiting", tone: "warn", meaning: "It waits for an attempt." },
  in_flight: { label: "Under way", tone: "accent", meaning: "An attempt is being made." },
  delivered: { label: "Delivered", tone: "ok", meaning: "An attempt was answered 2xx." },
  rejected: {
    label: "Rejected",
    tone: "bad",
    meaning: "The answer was not 2xx, and it is not attempted again.",
  },
  failed: { label: "Failed", tone: "bad", meaning: "No answer came, and it is not attempted again." },
  exhausted: { label: "Exhausted", tone: "bad", meaning: "The last of its retries failed." },
  unknown: {
    label: "Unknown",
    tone: "odd",
    meaning:
      "The process died during the attempt, and the event is not sent twice. Resend it if it is missing.",
  },
  cancelled: { label: "Cancelled", tone: "calm", meaning: "The webhook was removed or the session erased." },
};

export const stateWords: Record<SessionState, StateWords> = {
  open: { label: "Open", tone: "accent", meaning: "Nothing has ended yet." },
  ending: { label: "Ending", tone: "warn", meaning: "One of conversation and call has ended." },
  finalized: { label: "Finalized", tone: "ok", meaning: "All is done." },
};

export const triggerWords: Record<Trigger, string> = {
  live: "Live",
  retry: "Retry",
  resend: "Resend",
  test: "Test",
};

export const callStatusWords: Record<CallStatus, { label: string; tone: Tone }> = {
  userHangup: { label: "User hung up", tone: "ok" },
  agentHangup: { label: "Agent hung up", tone: "ok" },
  transferred: { label: "Transferred", tone: "ok" },
  voicemail: { label: "Voicemail", tone: "calm" },
  errorTransferred: { label: "Transfer failed", tone: "bad" },
  busy: { label: "Busy", tone: "calm" },
  userNoAnswer: { label: "User did not answer", tone: "calm" },
  userRejected: { label: "User rejected", tone: "calm" },
  invalidNumber: { label: "Invalid number", tone: "warn" },
  sipTrunkFailure: { label: "SIP trunk failure", tone: "bad" },
  agentNoAnswer: { label: "Agent did not answer", tone: "bad" },
  error: { label: "Error", tone: "bad" },
  unknown: { label: "Unknown", tone: "odd" },
  Ended: { label: "Ended", tone: "calm" },
};
export const callStatuses = Object.keys(callStatusWords) as CallStatus[];

export const reportWords: Record<TimelineReport["type"], string> = {
  created: "Session created",
  "conversation-ended": "Conversation ended",
  "call-ended": "Call ended",
  "recording-processed": "Recording processed",
};

/** Why an event went nowhere. */
export const unsentWords: Record<UnsentReason, string> = {
  no_endpoint: "No webhook was configured when it was emitted.",
  not_subscribed: "No webhook subscribed to this event when it was emitted.",
};

/** Why an expected event is not there. */
export const missingWords: Record<MissingReason, string> = {
  conversation_not_ended: "The conversation has not ended yet.",
  call_not_ended: "The call has not ended yet.",
  conversation_and_call_not_ended: "Neither the conversation nor the call has ended yet.",
  channel_not_known: "It is not known yet whether this is a call or a text session.",
  recording_not_reported: "The recording has not been reported. Nothing waits for it.",
  session_erased: "The session was erased before.",
};
