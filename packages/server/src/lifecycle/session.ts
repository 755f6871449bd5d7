import type { CallStatus, Channel, SessionState } from "@sendoff/contract";

/**
 * A session as it is stored: what the runtime has said of it so far. Each kind of fact is kept once, with the moment
 * it was reported (by the database's clock); the first report of a kind stands.
 */
export interface Session {
  readonly projectId: string;
  readonly sessionId: string;
  /** Grows by one with each change; 0 while the session is not stored. The compare-and-set of apply.ts. */
  readonly version: number;
  /** null until a report states it or implies it. */
  readonly channel: Channel | null;
  /** Nobody had stated the channel when a deadline passed, and it was taken for text. */
  readonly channelAssumed: boolean;
  readonly createdAt: Date;
  /** When the runtime created it by POST; null when its first report did. */
  readonly openedAt: Date | null;
  /** What the runtime gave at creation, as JSON text of an object. */
  readonly variables: string | null;
  readonly startNodeId: string | null;
  readonly currentNodeId: string;
  readonly messagesCount: number;
  /** JSON text of an object, as it goes into the payload. */
  readonly extractedVariables: string;
  readonly conversationReportedAt: Date | null;
  /** By the runtime's clock, when it said so. */
  readonly conversationEndedAt: Date | null;
  /** Who said that the conversation is over: sendoff, when a call report said that nobody spoke; or a deadline. */
  readonly conversationEndedBy: "runtime" | "sendoff" | "deadline" | null;
  readonly callReportedAt: Date | null;
  readonly callEndedAt: Date | null;
  readonly callEndedBy: "runtime" | "deadline" | null;
  readonly callStatus: CallStatus | null;
  /** Seconds. */
  readonly callDuration: number | null;
  readonly recordingReportedAt: Date | null;
  readonly recordingSuccess: boolean | null;
  readonly recordingObjectKey: string | null;
  readonly recordingError: string | null;
  readonly finalizedAt: Date | null;
  /** When Sendoff stops waiting and says the rest itself; null once it is finalized. By the database's clock. */
  readonly deadlineAt: Date | null;
  /** JSON text of a conversation's end, or a call's, that came after its deadline. */
  readonly lateConversation: string | null;
  readonly lateCall: string | null;
  /** When its data was erased (erase.ts): from then on nothing is taken. */
  readonly erasedAt: Date | null;
}

/** One thing that the runtime says about a session. Variables are compact JSON text. */
export type Report =
  | {
      readonly type: "created";
      readonly channel: Channel;
      readonly variables: string | null;
      readonly startNodeId: string | null;
    }
  | {
      readonly type: "progress";
      readonly currentNodeId: string | null;
      readonly messagesCount: number | null;
      readonly extractedVariables: string | null;
    }
  | {
      readonly type: "conversation-ended";
      readonly channel: Channel | null;
      readonly currentNodeId: string;
      readonly messagesCount: number;
      readonly extractedVariables: string;
      readonly endedAt: Date | null;
    }
  | {
      readonly type: "call-ended";
      readonly callStatus: CallStatus;
      readonly callDuration: number;
      /** "none": nobody ever spoke, so no conversation end will be reported. */
      readonly conversation: "none" | null;
      readonly endedAt: Date | null;
    }
  | {
      readonly type: "recording-processed";
      readonly success: boolean;
      readonly objectKey: string | null;
      readonly error: string | null;
    }
  /** A client of the text-session calls is done: the conversation ends where the last progress left it. */
  | { readonly type: "text-session-ended" }
  /** Not from the runtime: the session's deadline may have passed (deadlines.ts). */
  | { readonly type: "deadline" };

/** Where a session stands, in the word of the API. The database has the same rule as a generated column. */
export function stateOf(session: Session): SessionState {
  if (session.finalizedAt !== null) return "finalized";
  return session.conversationReportedAt !== null || session.callReportedAt !== null ? "ending" : "open";
}
