import type { EventName } from "@sendoff/contract";
import type { Session } from "./session.ts";

/** How long Sendoff waits for what is missing, in milliseconds. Behaviour, section 3. */
export interface Graces {
  /** SENDOFF_CONVERSATION_GRACE, 30 s: the call has ended, the conversation's end has not been reported. */
  readonly conversationMs: number;
  /** SENDOFF_CALL_GRACE, 5 min: the conversation of a call has ended, the call's end has not been reported. */
  readonly callMs: number;
  /** SENDOFF_SESSION_TIMEOUT, 6 h: no report at all. */
  readonly sessionMs: number;
}

/** The session with the moment at which Sendoff stops waiting; none once it is finalized. */
export function withDeadline(session: Session, now: Date, graces: Graces): Session {
  return { ...session, deadlineAt: session.finalizedAt === null ? deadlineOf(session, now, graces) : null };
}

function deadlineOf(session: Session, now: Date, graces: Graces): Date {
  if (session.callReportedAt !== null) return after(session.callReportedAt, graces.conversationMs);
  // A session whose channel is not known yet may be a call: its end is waited for as long.
  if (session.conversationReportedAt !== null) return after(session.conversationReportedAt, graces.callMs);
  return after(now, graces.sessionMs);
}

const after = (moment: Date, ms: number): Date => new Date(moment.getTime() + ms);

type Passed =
  | { readonly kind: "changed"; readonly session: Session; readonly events: readonly EventName[] }
  | { readonly kind: "duplicate"; readonly session: Session };

/**
 * Says itself what has not been reported by the deadline: the conversation ended where the last progress left it, the
 * call with status `unknown`. Nothing, when the deadline has moved on or another process was first.
 */
export function passDeadline(session: Session, now: Date, graces: Graces): Passed {
  if (session.deadlineAt === null || session.deadlineAt > now) return { kind: "duplicate", session };
  const events: EventName[] = [];
  let next = session;
  if (next.conversationReportedAt === null) {
    next = { ...next, conversationReportedAt: now, conversationEndedBy: "deadline" };
    events.push("session.ended");
  }
  if (next.channel === null) next = { ...next, channel: "text", channelAssumed: true };
  if (next.channel === "call" && next.callReportedAt === null) {
    next = {
      ...next,
      callReportedAt: now,
      callEndedBy: "deadline",
      callStatus: "unknown",
      callDuration: measuredDuration(session, session.deadlineAt, graces),
    };
    events.push("call.ended");
  }
  return { kind: "changed", session: next, events };
}

/** Whole seconds from the session's beginning to the end of its conversation, or else to its last report. */
function measuredDuration(session: Session, deadlineAt: Date, graces: Graces): number {
  const end =
    session.conversationEndedAt ??
    session.conversationReportedAt ??
    new Date(deadlineAt.getTime() - graces.sessionMs);
  return Math.max(0, Math.round((end.getTime() - session.createdAt.getTime()) / 1_000));
}
