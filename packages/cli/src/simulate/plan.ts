import {
  type AgentEvent,
  type CallEnded,
  type CallStatus,
  type Channel,
  type ConversationEnded,
  type CreateSession,
  type RecordingProcessed,
  type ReportType,
  type SessionProgress,
  startNodeId,
  statusesWithoutDuration,
} from "@sendoff/contract";
import { carriedNoTraffic, drawCallStatus } from "./call-statuses.ts";
import type { Draw } from "./random.ts";
import type { SessionRow } from "./rows.ts";

/** One report of a plan, as the body of its own path; of a call's audio, how long it is. */
export type PlannedReport =
  | { readonly kind: "report"; readonly type: "conversation-ended"; readonly body: ConversationEnded }
  | { readonly kind: "report"; readonly type: "call-ended"; readonly body: CallEnded }
  | { readonly kind: "report"; readonly type: "recording-processed"; readonly body: RecordingProcessed }
  | PlannedUpload;

/** Audio that is uploaded, which is the report that the recording succeeded. */
export interface PlannedUpload {
  readonly kind: "report";
  readonly type: "recording-processed";
  readonly seconds: number;
}

/** One request of a plan. */
export type PlannedRequest =
  | { readonly kind: "create"; readonly body: CreateSession }
  | { readonly kind: "progress"; readonly body: SessionProgress }
  | PlannedReport;

/** Requests that go out at one moment of the session. The next step waits until all of them are answered. */
interface Step {
  /** Since the session's start, in milliseconds of its own time. */
  readonly atMs: number;
  readonly requests: readonly PlannedRequest[];
}

/** What the session's events must carry. */
interface SessionFacts {
  readonly currentNodeId: string;
  readonly messagesCount: number;
  readonly extractedVariables: Readonly<Record<string, unknown>>;
  /** null on text sessions. */
  readonly callStatus: CallStatus | null;
  /** Seconds; null on text sessions. */
  readonly callDuration: number | null;
  /** Whether the recording succeeded; null when there is none. */
  readonly recordingSuccess: boolean | null;
  /** The call's end says that nobody spoke, so there is no conversation report. */
  readonly nobodySpoke: boolean;
}

/** Everything that is said about one session, and when. */
export interface SessionPlan {
  readonly sessionId: string;
  readonly channel: Channel;
  /** Its reports travel in POST `/reports` together with those of others. */
  readonly bulk: boolean;
  /** In order of time. */
  readonly steps: readonly Step[];
  readonly facts: SessionFacts;
}

/** What a plan depends on besides its row. */
export interface PlanContext {
  readonly sessionId: string;
  readonly draw: Draw;
  /** Durations of the other calls, in seconds: one is taken for a call whose own is not known. */
  readonly durations: readonly number[];
}

/** Shares of sessions or reports in which something happens. */
export const shares = {
  /** Sessions that the first report creates. */
  createdByReport: 0.1,
  bulk: 0.15,
  /** Calls whose end is reported before the conversation's. */
  callFirst: 0.06,
  /** Calls whose two ends are reported at the same instant. */
  endsTogether: 0.02,
  /** Reports that are sent twice; half of them at once, half later. */
  repeated: 0.04,
  recordingFails: 0.08,
  recordingBeforeEnds: 0.1,
  recordingBetweenEnds: 0.15,
} as const;

/** A text session states no duration: so long per message, in ms. */
const textMessageMs = 6_000;

/** Plans what a runtime would say about a session like the row's. */
export function planSession(row: SessionRow, context: PlanContext): SessionPlan {
  const { sessionId, draw } = context;
  const facts = factsOf(row, context);
  const endMs =
    facts.callDuration === null
      ? Math.max(1_000, facts.messagesCount * textMessageMs)
      : facts.callDuration * 1_000;
  const bulk = draw.chance(shares.bulk);
  const opening = draw.chance(shares.createdByReport) ? [] : openingSteps(row, facts, sessionId, endMs, draw);
  const reports = reportSteps(row.kind, facts, context, endMs);
  const steps = [...opening, ...reports.flatMap((step) => withRepeats(step, draw))];
  return {
    sessionId,
    channel: row.kind,
    bulk,
    steps: steps.sort((left, right) => left.atMs - right.atMs),
    facts,
  };
}

/**
 * The events that are owed when these reports were taken. The one rule of it (behaviour, section 3): a text session is
 * finalized by its conversation's end, a call by both ends.
 */
export function eventsOwed(
  plan: Pick<SessionPlan, "channel" | "facts">,
  taken: ReadonlySet<ReportType>,
): AgentEvent[] {
  const callEnded = taken.has("call-ended");
  const conversationEnded = taken.has("conversation-ended") || (callEnded && plan.facts.nobodySpoke);
  const events: AgentEvent[] = [];
  if (conversationEnded) events.push("session.ended");
  if (callEnded) events.push("call.ended");
  if (conversationEnded && (plan.channel === "text" || callEnded)) events.push("session.finalized");
  if (taken.has("recording-processed")) events.push("recording.ready");
  return events;
}

/** Types of the reports of a plan. */
export function reportTypesOf(plan: SessionPlan): Set<ReportType> {
  return new Set(
    plan.steps.flatMap((step) =>
      step.requests.flatMap((request) => (request.kind === "report" ? [request.type] : [])),
    ),
  );
}

function factsOf(row: SessionRow, context: PlanContext): SessionFacts {
  const { draw } = context;
  const conversation = {
    currentNodeId: row.currentNodeId ?? startNodeId,
    messagesCount: row.messagesCount ?? 0,
    extractedVariables: row.messagesCount === null ? {} : row.extractedVariables,
  };
  if (row.kind === "text") {
    return {
      ...conversation,
      callStatus: null,
      callDuration: null,
      recordingSuccess: null,
      nobodySpoke: false,
    };
  }
  const nobodySpoke = row.messagesCount === null;
  // Where there is audio somebody was there, whatever became of the log.
  const callStatus = row.callStatus ?? drawCallStatus(draw, !nobodySpoke || row.recorded);
  return {
    ...conversation,
    currentNodeId: nobodySpoke ? startNodeId : conversation.currentNodeId,
    callStatus,
    callDuration: durationOf(row, callStatus, context),
    recordingSuccess: row.recorded ? !draw.chance(shares.recordingFails) : null,
    nobodySpoke,
  };
}

function durationOf(row: SessionRow, status: CallStatus, { draw, durations }: PlanContext): number {
  if (statusesWithoutDuration.includes(status)) return 0;
  if (row.callDuration !== null) return row.callDuration;
  if (carriedNoTraffic(status)) return 0;
  if (row.recordingSeconds !== null) return Math.round(row.recordingSeconds);
  return durations.length === 0 ? 60 : (durations[draw.whole(0, durations.length - 1)] ?? 60);
}

/** Creation and one to three progress updates along the row's path. A call that nobody spoke on makes no progress. */
function openingSteps(
  row: SessionRow,
  facts: SessionFacts,
  sessionId: string,
  endMs: number,
  draw: Draw,
): Step[] {
  const body: CreateSession = { sessionId, channel: row.kind };
  if (draw.chance(0.3)) body.variables = { simulatedFrom: row.id };
  const first = row.nodePath[0];
  if (!facts.nobodySpoke && first !== undefined && draw.chance(0.5)) body.startNodeId = first;
  const created: Step = { atMs: 0, requests: [{ kind: "create", body }] };
  if (facts.nobodySpoke) return [created];
  const count = draw.whole(1, 3);
  const updates = Array.from({ length: count }, (_, index): Step => {
    const share = (index + 1) / (count + 1);
    return { atMs: endMs * share, requests: [{ kind: "progress", body: progressAt(share, row, facts) }] };
  });
  return [created, ...updates];
}

function progressAt(share: number, row: SessionRow, facts: SessionFacts): SessionProgress {
  const upTo = <Item>(items: readonly Item[]): Item[] => items.slice(0, Math.floor(items.length * share));
  return {
    currentNodeId: upTo(row.nodePath).at(-1) ?? facts.currentNodeId,
    messagesCount: Math.floor(facts.messagesCount * share),
    extractedVariables: Object.fromEntries(upTo(Object.entries(facts.extractedVariables))),
  };
}

/** Each report once, at its time. */
function reportSteps(channel: Channel, facts: SessionFacts, context: PlanContext, endMs: number): Step[] {
  const { draw } = context;
  const conversation: PlannedReport = {
    kind: "report",
    type: "conversation-ended",
    body: {
      channel,
      currentNodeId: facts.currentNodeId,
      messagesCount: facts.messagesCount,
      extractedVariables: facts.extractedVariables,
    },
  };
  if (facts.callStatus === null || facts.callDuration === null) {
    return [{ atMs: endMs, requests: [conversation] }];
  }
  const body: CallEnded = { callStatus: facts.callStatus, callDuration: facts.callDuration };
  if (facts.nobodySpoke) body.conversation = "none";
  const call: PlannedReport = { kind: "report", type: "call-ended", body };
  const gapMs = draw.between(200, 2_500);
  const ends = facts.nobodySpoke
    ? [{ atMs: endMs, requests: [call] }]
    : endSteps(conversation, call, endMs, gapMs, draw.next());
  return [...ends, ...recordingSteps(facts, context, endMs, gapMs)];
}

function endSteps(
  conversation: PlannedReport,
  call: PlannedReport,
  endMs: number,
  gapMs: number,
  lot: number,
): Step[] {
  if (lot < shares.endsTogether) return [{ atMs: endMs, requests: [conversation, call] }];
  const callFirst = lot < shares.endsTogether + shares.callFirst;
  const [first, second] = callFirst ? [call, conversation] : [conversation, call];
  return [
    { atMs: endMs, requests: [first] },
    { atMs: endMs + gapMs, requests: [second] },
  ];
}

/** The recording is processed at any time: during the call, between its two ends, or after both. */
function recordingSteps(facts: SessionFacts, context: PlanContext, endMs: number, gapMs: number): Step[] {
  if (facts.recordingSuccess === null) return [];
  const { draw } = context;
  const recording: PlannedReport = facts.recordingSuccess
    ? { kind: "report", type: "recording-processed", seconds: facts.callDuration ?? 0 }
    : {
        kind: "report",
        type: "recording-processed",
        body: { success: false, error: "the audio could not be decoded" },
      };
  const lot = draw.next();
  const before = shares.recordingBeforeEnds;
  const between = before + shares.recordingBetweenEnds;
  const afterMs = endMs + gapMs + draw.between(1_000, 30_000);
  const atMs = lot < before ? endMs / 2 : lot < between ? endMs + gapMs / 2 : afterMs;
  return [{ atMs, requests: [recording] }];
}

/**
 * The step, with some of its reports twice: in the same step, or in one of their own that comes later. An upload only
 * later: of two at the same instant one is refused.
 */
function withRepeats(step: Step, draw: Draw): Step[] {
  const repeated = step.requests.filter(() => draw.chance(shares.repeated));
  if (repeated.length === 0) return [step];
  const atOnce = draw.chance(0.5) && !repeated.some((request) => "seconds" in request);
  if (atOnce) return [{ ...step, requests: [...step.requests, ...repeated] }];
  return [step, { atMs: step.atMs + draw.between(1_000, 20_000), requests: repeated }];
}
