import type { AgentEvent, ReportAnswer, ReportType } from "@sendoff/contract";
import { eventsOwed, type PlannedRequest, type SessionPlan } from "./plan.ts";

/** Something that the server refused or never answered, for people. */
export interface Mistake {
  readonly sessionId: string;
  readonly request: string;
  readonly problem: string;
}

/** What is known of one session's reports. */
export interface SessionRecord {
  readonly plan: SessionPlan;
  /** Reports that were answered with 2xx. */
  readonly taken: Set<ReportType>;
  /** Reports that no answer came for, after all patience. They may have been taken. */
  readonly uncertain: Set<ReportType>;
  /** How often each report was answered as new. */
  readonly asNew: Map<ReportType, number>;
  /** Reports of which some send had no answer: it may have been the one that was taken as new. */
  readonly resent: Set<ReportType>;
  /** When the report that emitted the event was sent, in ms since 1970. */
  readonly emittedBy: Map<AgentEvent, number>;
}

/** Everything that was sent and answered in a run. No I/O, no clock. */
export class Journal {
  readonly sessions = new Map<string, SessionRecord>();
  /** Reports sent, repeats of the plan included, repeats after a failure not. */
  sent = 0;
  duplicates = 0;
  /** Requests sent again after a 5xx, a 429 or no answer. */
  retried = 0;
  readonly refused: Mistake[] = [];
  readonly gaveUp: Mistake[] = [];

  constructor(plans: readonly SessionPlan[]) {
    for (const plan of plans) {
      this.sessions.set(plan.sessionId, {
        plan,
        taken: new Set(),
        uncertain: new Set(),
        asNew: new Map(),
        resent: new Set(),
        emittedBy: new Map(),
      });
    }
  }

  retriedOnce(plan: SessionPlan, request: PlannedRequest): void {
    this.retried += 1;
    if (request.kind === "report") this.#record(plan).resent.add(request.type);
  }

  sentOnce(request: PlannedRequest): void {
    if (request.kind === "report") this.sent += 1;
  }

  /** A report was answered with 2xx. */
  took(plan: SessionPlan, type: ReportType, answer: ReportAnswer, sentAtMs: number): void {
    const record = this.#record(plan);
    record.taken.add(type);
    if (answer.duplicate) this.duplicates += 1;
    else record.asNew.set(type, (record.asNew.get(type) ?? 0) + 1);
    for (const event of answer.events) if (event !== "session.started") record.emittedBy.set(event, sentAtMs);
  }

  refusedOne(plan: SessionPlan, request: PlannedRequest, problem: string): void {
    this.refused.push({ sessionId: plan.sessionId, request: nameOf(request), problem });
  }

  gaveUpOn(plan: SessionPlan, request: PlannedRequest, problem: string): void {
    this.gaveUp.push({ sessionId: plan.sessionId, request: nameOf(request), problem });
    if (request.kind === "report") this.#record(plan).uncertain.add(request.type);
  }

  #record(plan: SessionPlan): SessionRecord {
    const record = this.sessions.get(plan.sessionId);
    if (record === undefined) throw new RangeError(`session ${plan.sessionId} is not of this run`);
    return record;
  }
}

/**
 * Whether the server knew the session before this run: its reports were only ever answered as duplicates, and no send
 * of one can have been taken unseen. Then its events were sent in an earlier run, and nothing is owed now.
 */
export function knownBefore(record: SessionRecord): boolean {
  const types = [...record.taken];
  return types.length > 0 && types.every((type) => !record.asNew.has(type) && !record.resent.has(type));
}

/** Events that are owed for certain, by the reports that were taken. */
export const eventsCertain = (record: SessionRecord): AgentEvent[] => eventsOwed(record.plan, record.taken);

/** Events that may come: those that are owed, and those of reports that no answer came for. */
export const eventsPossible = (record: SessionRecord): AgentEvent[] =>
  eventsOwed(record.plan, new Set([...record.taken, ...record.uncertain]));

const nameOf = (request: PlannedRequest): string => (request.kind === "report" ? request.type : request.kind);
