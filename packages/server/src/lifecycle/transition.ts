import { type Channel, type ErrorCode, type EventName, startNodeId } from "@sendoff/contract";
import { mergeMembers, sameJson } from "../json-text.ts";
import { contradiction, erased, refused } from "./contradiction.ts";
import { type Graces, passDeadline, withDeadline } from "./deadline.ts";
import { lateCall, lateConversation } from "./late.ts";
import type { Report, Session } from "./session.ts";

/**
 * What a report does to a session: the whole lifecycle, as a pure function (behaviour, section 3).
 *
 * - The channel became known: `session.started`, as the first event of the session or not at all.
 * - The conversation ended: `session.ended`. The call ended: `call.ended`, on calls only.
 * - `session.finalized` comes with the last fact it needs, in the same decision: on a text session the conversation's
 *   end, on a call whichever of the two ends came second. While the channel is not known it waits.
 * - The recording was processed: `recording.ready`, at any time.
 * - The first report of a kind stands: the same one again is a duplicate, another one is refused.
 * - What does not come by the session's deadline Sendoff says itself (deadline.ts); if it comes later it is kept and
 *   emits nothing (late.ts).
 */
export type Decision =
  | {
      readonly kind: "changed";
      readonly session: Session;
      readonly events: readonly EventName[];
      /** The report came after its deadline. */
      readonly late?: true;
    }
  | { readonly kind: "duplicate"; readonly session: Session; readonly late?: true }
  | { readonly kind: "refused"; readonly code: ErrorCode; readonly message: string };

type ReportOf<Type extends Report["type"]> = Extract<Report, { type: Type }>;

/** Most bytes of `extractedVariables` and `variables` as JSON text. Behaviour, section 7. */
export const variablesBytesMax = 256 * 1024;

/** A session that Sendoff has not seen before: on node `start`, with no messages. */
export function unseenSession(projectId: string, sessionId: string, now: Date): Session {
  return {
    projectId,
    sessionId,
    version: 0,
    channel: null,
    channelAssumed: false,
    createdAt: now,
    openedAt: null,
    variables: null,
    startNodeId: null,
    currentNodeId: startNodeId,
    messagesCount: 0,
    extractedVariables: "{}",
    conversationReportedAt: null,
    conversationEndedAt: null,
    conversationEndedBy: null,
    callReportedAt: null,
    callEndedAt: null,
    callEndedBy: null,
    callStatus: null,
    callDuration: null,
    recordingReportedAt: null,
    recordingSuccess: null,
    recordingObjectKey: null,
    recordingError: null,
    finalizedAt: null,
    deadlineAt: null,
    lateConversation: null,
    lateCall: null,
    erasedAt: null,
  };
}

/**
 * Decides what a report means.
 *
 * @param session as it is stored, or {@link unseenSession}.
 * @param now the moment of the decision by the database's clock; it becomes the timestamp of the emitted events.
 */
export function transition(session: Session, report: Report, now: Date, graces: Graces): Decision {
  if (session.erasedAt !== null) {
    return report.type === "deadline" ? duplicate(session) : erased(session.sessionId, session.erasedAt);
  }
  const decision = decide(session, report, now, graces);
  if (decision.kind !== "changed" || decision.late) return decision;
  const events = withStarted(session, decision.session, decision.events);
  const finalized = withFinalized(decision.session, events, now);
  return { ...finalized, session: withDeadline(finalized.session, now, graces) };
}

function decide(session: Session, report: Report, now: Date, graces: Graces): Decision {
  switch (report.type) {
    case "created":
      return create(session, report, now);
    case "progress":
      return progress(session, report);
    case "conversation-ended":
      return endConversation(session, report, now);
    case "text-session-ended":
      return endTextSession(session, now);
    case "call-ended":
      return endCall(session, report, now);
    case "recording-processed":
      return processRecording(session, report, now);
    case "deadline":
      return passDeadline(session, now, graces);
  }
}

function create(session: Session, report: ReportOf<"created">, now: Date): Decision {
  const conflict = channelConflict(session, report.channel, "it is created");
  if (conflict !== null) return conflict;
  if (session.openedAt !== null) {
    const same =
      sameText(session.variables, report.variables) && (session.startNodeId ?? null) === report.startNodeId;
    return same ? duplicate(session) : contradiction("creation", creationOf(session));
  }
  const untouched = session.conversationReportedAt === null && session.currentNodeId === startNodeId;
  return changed({
    ...session,
    channel: report.channel,
    openedAt: now,
    variables: report.variables,
    startNodeId: report.startNodeId,
    currentNodeId: untouched ? (report.startNodeId ?? startNodeId) : session.currentNodeId,
  });
}

function progress(session: Session, report: ReportOf<"progress">): Decision {
  if (session.conversationReportedAt !== null) {
    return refused(
      "conversation_over",
      `The conversation of session ${session.sessionId} was over at ${session.conversationReportedAt.toISOString()}; progress is taken only before that.`,
    );
  }
  const next: Session = {
    ...session,
    currentNodeId: report.currentNodeId ?? session.currentNodeId,
    messagesCount: report.messagesCount ?? session.messagesCount,
    extractedVariables:
      report.extractedVariables === null
        ? session.extractedVariables
        : mergeMembers(session.extractedVariables, report.extractedVariables),
  };
  // One request is bounded where it comes in; what many of them add up to is bounded here.
  if (Buffer.byteLength(next.extractedVariables) > variablesBytesMax) {
    return refused(
      "variables_too_large",
      `With this progress the variables of session ${session.sessionId} would be larger than ${variablesBytesMax} bytes; nothing was changed.`,
    );
  }
  const same =
    session.version > 0 &&
    next.currentNodeId === session.currentNodeId &&
    next.messagesCount === session.messagesCount &&
    next.extractedVariables === session.extractedVariables;
  return same ? duplicate(session) : changed(next);
}

function endConversation(session: Session, report: ReportOf<"conversation-ended">, now: Date): Decision {
  const conflict = channelConflict(session, report.channel, "its conversation ended");
  // A channel that a deadline assumed contradicts nobody.
  if (conflict !== null && !session.channelAssumed) return conflict;
  if (session.conversationEndedBy === "deadline") return lateConversation(session, report, now);
  if (session.conversationReportedAt !== null) {
    const same =
      session.conversationEndedBy === "runtime" &&
      session.currentNodeId === report.currentNodeId &&
      session.messagesCount === report.messagesCount &&
      sameJson(session.extractedVariables, report.extractedVariables) &&
      sameMoment(session.conversationEndedAt, report.endedAt);
    if (!same) return contradiction("conversation-ended", conversationOf(session));
    // A repeat may still be the first to state the channel.
    const statesChannel = session.channel === null && report.channel !== null;
    return statesChannel ? changed({ ...session, channel: report.channel }) : duplicate(session);
  }
  return changed(
    {
      ...session,
      channel: report.channel ?? session.channel,
      currentNodeId: report.currentNodeId,
      messagesCount: report.messagesCount,
      extractedVariables: report.extractedVariables,
      conversationReportedAt: now,
      conversationEndedAt: report.endedAt,
      conversationEndedBy: "runtime",
    },
    "session.ended",
  );
}

function endTextSession(session: Session, now: Date): Decision {
  if (session.version === 0) {
    return refused("session_not_found", `This project has no session ${JSON.stringify(session.sessionId)}.`);
  }
  const conflict = channelConflict(session, "text", "its conversation ended");
  if (conflict !== null) return conflict;
  if (session.channel !== null && session.conversationReportedAt !== null) return duplicate(session);
  const { currentNodeId, messagesCount, extractedVariables } = session;
  const where = { currentNodeId, messagesCount, extractedVariables };
  return endConversation(
    session,
    { type: "conversation-ended", channel: "text", ...where, endedAt: null },
    now,
  );
}

function endCall(session: Session, report: ReportOf<"call-ended">, now: Date): Decision {
  // A deadline that took the session for text was wrong, which is no mistake of the runtime.
  if (session.callEndedBy === "deadline" || session.channelAssumed) return lateCall(session, report, now);
  const conflict = channelConflict(session, "call", "its call ended");
  if (conflict !== null) return conflict;
  // A conversation that was reported stands: then there is nothing left that "none" could tell.
  const nobodySpoke = report.conversation === "none" && session.conversationReportedAt === null;
  if (session.callReportedAt !== null) {
    const same =
      session.callStatus === report.callStatus &&
      session.callDuration === report.callDuration &&
      sameMoment(session.callEndedAt, report.endedAt);
    if (!same) return contradiction("call-ended", callOf(session));
    // A repeat may still be the first to say that nobody spoke.
    return nobodySpoke ? changed(endedByNobody(session, now), "session.ended") : duplicate(session);
  }
  const next: Session = {
    ...session,
    channel: "call",
    callReportedAt: now,
    callEndedAt: report.endedAt,
    callEndedBy: "runtime",
    callStatus: report.callStatus,
    callDuration: report.callDuration,
  };
  return nobodySpoke
    ? changed(endedByNobody(next, now), "session.ended", "call.ended")
    : changed(next, "call.ended");
}

/** A conversation that never was: it ends where the session stands. */
const endedByNobody = (session: Session, now: Date): Session => ({
  ...session,
  conversationReportedAt: now,
  conversationEndedBy: "sendoff",
});

function processRecording(session: Session, report: ReportOf<"recording-processed">, now: Date): Decision {
  const conflict = channelConflict(session, "call", "its recording was processed");
  // A channel that a deadline assumed contradicts nobody: the recording's event is still due.
  if (conflict !== null && !session.channelAssumed) return conflict;
  if (session.recordingReportedAt !== null) {
    const same =
      session.recordingSuccess === report.success &&
      session.recordingObjectKey === report.objectKey &&
      session.recordingError === report.error;
    return same ? duplicate(session) : contradiction("recording-processed", recordingOf(session));
  }
  return changed(
    {
      ...session,
      channel: session.channelAssumed ? session.channel : "call",
      recordingReportedAt: now,
      recordingSuccess: report.success,
      recordingObjectKey: report.objectKey,
      recordingError: report.error,
    },
    "recording.ready",
  );
}

/**
 * The events with `session.started` before them when the session's channel has just become known (ADR 0026). A channel
 * never changes, so its being written first is the compare-and-set of this event. Once `session.ended` was emitted it is
 * too late: a beginning that comes after the end would be worse than none.
 */
function withStarted(before: Session, next: Session, events: readonly EventName[]): readonly EventName[] {
  const begins = before.channel === null && next.channel !== null && before.conversationReportedAt === null;
  return begins ? ["session.started", ...events] : events;
}

/** The session with `session.finalized` as its last event when its last missing fact has come. */
function withFinalized(
  next: Session,
  events: readonly EventName[],
  now: Date,
): Extract<Decision, { kind: "changed" }> {
  const ended =
    next.conversationReportedAt !== null &&
    (next.channel === "text" || (next.channel === "call" && next.callReportedAt !== null));
  if (!ended || next.finalizedAt !== null) return { kind: "changed", session: next, events };
  return {
    kind: "changed",
    session: { ...next, finalizedAt: now },
    events: [...events, "session.finalized"],
  };
}

function changed(session: Session, ...events: EventName[]): Decision {
  return { kind: "changed", session, events };
}

function duplicate(session: Session): Decision {
  return { kind: "duplicate", session };
}

function channelConflict(session: Session, channel: Channel | null, reason: string): Decision | null {
  if (session.channel === null || channel === null || session.channel === channel) return null;
  return refused(
    "channel_conflict",
    `Session ${session.sessionId} is a ${session.channel} session; this report says that ${reason} as a ${channel} session. The first one stands.`,
  );
}

const sameText = (left: string | null, right: string | null): boolean =>
  left === null || right === null ? left === right : sameJson(left, right);

/** A report that does not state the moment does not contradict one that does. */
const sameMoment = (stored: Date | null, stated: Date | null): boolean =>
  stored === null || stated === null || stored.getTime() === stated.getTime();

const creationOf = (session: Session): object => ({
  channel: session.channel,
  startNodeId: session.startNodeId,
  variables: shown(session.variables),
});

const conversationOf = (session: Session): object => ({
  currentNodeId: session.currentNodeId,
  messagesCount: session.messagesCount,
  extractedVariables: shown(session.extractedVariables),
  endedAt: session.conversationEndedAt,
});

const callOf = (session: Session): object => ({
  callStatus: session.callStatus,
  callDuration: session.callDuration,
  endedAt: session.callEndedAt,
});

const recordingOf = (session: Session): object => ({
  success: session.recordingSuccess,
  objectKey: session.recordingObjectKey,
  error: session.recordingError,
});

/** Variables inside a sentence: in full when short, else by their size. */
const shown = (variables: string | null): unknown =>
  variables === null || variables.length <= 300 ? variables : `${variables.length} characters of JSON`;
