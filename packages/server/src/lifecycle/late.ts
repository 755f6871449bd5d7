import type { LateFacts } from "@sendoff/contract";
import { membersOf, objectText, sameJson } from "../json-text.ts";
import { contradiction, type Refused } from "./contradiction.ts";
import type { Report, Session } from "./session.ts";

/** What a report does that comes after its deadline: it is kept, and nothing is emitted. */
type LateDecision =
  | { readonly kind: "changed"; readonly session: Session; readonly events: readonly []; readonly late: true }
  | { readonly kind: "duplicate"; readonly session: Session; readonly late: true }
  | Refused;

type ReportOf<Type extends Report["type"]> = Extract<Report, { type: Type }>;

export function lateConversation(
  session: Session,
  report: ReportOf<"conversation-ended">,
  now: Date,
): LateDecision {
  const fact = objectText([
    ["currentNodeId", JSON.stringify(report.currentNodeId)],
    ["messagesCount", String(report.messagesCount)],
    ["extractedVariables", report.extractedVariables],
    ["endedAt", JSON.stringify(report.endedAt)],
    ["reportedAt", JSON.stringify(now)],
  ]);
  return keep(session, "conversation-ended", session.lateConversation, fact, { lateConversation: fact });
}

export function lateCall(session: Session, report: ReportOf<"call-ended">, now: Date): LateDecision {
  const fact = JSON.stringify({
    callStatus: report.callStatus,
    callDuration: report.callDuration,
    endedAt: report.endedAt,
    reportedAt: now,
  } satisfies Record<keyof NonNullable<LateFacts["call"]>, unknown>);
  return keep(session, "call-ended", session.lateCall, fact, { lateCall: fact });
}

/** The first late report of a kind stands, as the first in time does. */
function keep(
  session: Session,
  what: string,
  stored: string | null,
  fact: string,
  change: Partial<Session>,
): LateDecision {
  if (stored === null) return { kind: "changed", session: { ...session, ...change }, events: [], late: true };
  if (sameJson(unreported(stored), unreported(fact))) return { kind: "duplicate", session, late: true };
  return contradiction(`late ${what}`, {
    stored: stored.length <= 300 ? stored : `${stored.length} characters`,
  });
}

/** The fact without the moment of its report, which differs with each repeat. */
function unreported(fact: string): string {
  const members = membersOf(fact);
  members.delete("reportedAt");
  return objectText(members);
}
