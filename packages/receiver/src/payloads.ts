// The bodies, written out here and not taken from the contract's schemas: a receiver must take more than Sendoff sends
// today (a callStatus that nobody knows yet, a further field), and its types must not bring a schema library along.
// test/payload-types.test.ts holds them against the contract.

/** The final statuses of a call that are known. Source: seed, `call.ended`. */
export type KnownCallStatus =
  | "userHangup"
  | "agentHangup"
  | "transferred"
  | "voicemail"
  | "errorTransferred"
  | "busy"
  | "userNoAnswer"
  | "userRejected"
  | "invalidNumber"
  | "sipTrunkFailure"
  | "agentNoAnswer"
  | "error"
  | "unknown"
  | "Ended";

/** A known status, or one that is newer than this package. Case-sensitive. */
export type CallStatus = KnownCallStatus | (string & {});

interface Common {
  /** The session's id as its runtime chose it. Unique within a project. Never make a file name of it as it is. */
  readonly sessionId: string;
  /** ISO 8601, when the event was emitted. */
  readonly timestamp: string;
}

interface OfProject extends Common {
  readonly projectId: string;
}

interface Conversation {
  /** Pathway node the agent was on when the conversation ended. */
  readonly currentNodeId: string;
  /** Messages exchanged in the session. */
  readonly messagesCount: number;
  /** What the conversation yielded, by name. A caller can have said anything: treat every value as hostile. */
  readonly extractedVariables: Readonly<Record<string, unknown>>;
}

interface Call {
  readonly callStatus: CallStatus;
  /** Seconds; 0 for a call that carried no traffic. */
  readonly callDuration: number;
}

interface NoCall {
  readonly callStatus?: undefined;
  readonly callDuration?: undefined;
}

/** The conversation has ended. */
export interface SessionEnded extends Common, Conversation {
  readonly event: "session.ended";
  /** @deprecated Legacy alias of `event`. */
  readonly reason?: string;
}

/** The call has ended. Calls only. */
export interface CallEnded extends OfProject, Call {
  readonly event: "call.ended";
}

/** Everything is done for this call. */
export interface CallFinalized extends OfProject, Conversation, Call {
  readonly event: "session.finalized";
}

/** Everything is done for this text session: the call fields are absent, not null. */
export interface TextFinalized extends OfProject, Conversation, NoCall {
  readonly event: "session.finalized";
}

/** The recording can be downloaded, for about 15 minutes. Calls only. */
export interface RecordingSucceeded extends OfProject {
  readonly event: "recording.ready";
  readonly success: true;
  readonly recordingUrl: string;
}

/** There is no recording. Calls only. */
export interface RecordingFailed extends OfProject {
  readonly event: "recording.ready";
  readonly success: false;
  readonly recordingUrl?: undefined;
}

/** A session has started. Sendoff offers it to project webhooks only. */
export interface SessionStarted extends OfProject {
  readonly event: "session.started";
  readonly channel: "call" | "text";
}

/** The body of each event that is known. Further fields may come. */
export interface Payloads {
  readonly "session.started": SessionStarted;
  readonly "session.ended": SessionEnded;
  readonly "call.ended": CallEnded;
  readonly "session.finalized": CallFinalized | TextFinalized;
  readonly "recording.ready": RecordingSucceeded | RecordingFailed;
}

/** Name of an event that is known. */
export type EventName = keyof Payloads;

/** The body of any known event: a union discriminated by `event`. */
export type Payload = Payloads[EventName];

/** The body of an event that is newer than this package. */
export interface UnknownPayload {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** What is needed of the body of each known event, and of what type; what is not in here may have any form. */
export const requiredFields: Readonly<Record<EventName, Readonly<Record<string, "string" | "boolean">>>> = {
  "session.started": { sessionId: "string" },
  "session.ended": { sessionId: "string" },
  "call.ended": { sessionId: "string", callStatus: "string" },
  "session.finalized": { sessionId: "string" },
  "recording.ready": { sessionId: "string", success: "boolean" },
};

/** Whether a name is that of a known event. */
export const isKnownEvent = (event: string): event is EventName => Object.hasOwn(requiredFields, event);

/** Whether `session.finalized` is that of a call: branch on the presence of callStatus, as the seed says. */
export const isCall = (payload: CallFinalized | TextFinalized): payload is CallFinalized =>
  payload.callStatus !== undefined;

/** Whether `recording.ready` has a recording to download. */
export const hasRecording = (payload: RecordingSucceeded | RecordingFailed): payload is RecordingSucceeded =>
  payload.success && typeof payload.recordingUrl === "string";
