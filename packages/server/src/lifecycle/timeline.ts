import type {
  MissingReason,
  Timeline,
  TimelineDelivery,
  TimelineEvent,
  TimelineMissing,
  TimelineReport,
  WebhookLog,
} from "@sendoff/contract";
import type pg from "pg";
import type { z } from "zod";
import type { Session } from "./session.ts";

/**
 * What happened to a session: its reports, events, deliveries and attempts.
 *
 * @param client sees one moment (database/transaction.ts, inSnapshot): a delivery that settles goes from one table to
 * another, and would be in neither when they are read one after the other.
 */
export async function readTimeline(
  client: pg.PoolClient,
  session: Session,
  sessionKey: number,
  { logs: attempts, cut }: { readonly logs: WebhookLog[]; readonly cut: boolean },
): Promise<Timeline> {
  const events = await client.query<Omit<z.output<typeof TimelineEvent>, "emittedAt"> & { emittedAt: Date }>(
    `SELECT event, webhook_id AS "webhookId", emitted_at AS "emittedAt", deliveries,
       unsent_reason AS "unsentReason", encode(payload_sha256, 'hex') AS "payloadSha256" FROM events WHERE session_key = $1 ORDER BY event_id`,
    [sessionKey],
  );
  const owed = await client.query<OwedRow>(
    `SELECT events.event, deliveries.endpoint_id AS "endpointId", endpoints.url, deliveries.state,
       deliveries.attempts_before + deliveries.attempts AS attempts,
       CASE WHEN deliveries.state = 'pending' THEN deliveries.due_at END AS "dueAt",
       deliveries.claimed_at AS "startedAt"
     FROM deliveries JOIN events USING (event_id) JOIN endpoints USING (endpoint_id)
     WHERE deliveries.session_key = $1 ORDER BY delivery_id`,
    [sessionKey],
  );
  return {
    reports: reportsOf(session),
    events: events.rows.map((row) => ({ ...row, emittedAt: row.emittedAt.toISOString() })),
    deliveries: [...attempts.flatMap(settledDelivery), ...owed.rows.map(owedDelivery)],
    attempts,
    attemptsCut: cut,
    missing: missingOf(session, new Set(events.rows.map(({ event }) => event))),
  };
}

type Delivery = z.output<typeof TimelineDelivery>;

interface OwedRow extends Omit<Delivery, "dueAt" | "startedAt"> {
  readonly dueAt: Date | null;
  readonly startedAt: Date | null;
}

const owedDelivery = (row: OwedRow): Delivery => ({
  ...row,
  // A lane that waits for another delivery has no time of its own.
  dueAt: isMoment(row.dueAt) ? row.dueAt.toISOString() : null,
  startedAt: row.startedAt?.toISOString() ?? null,
});

/** PostgreSQL's infinity comes as a number. */
const isMoment = (value: unknown): value is Date => value instanceof Date;

/**
 * Events that a session of its kind is expected to have and has not, and why (behaviour, section 3). A recording is
 * expected of a call that is over; nobody waits for it, and it may never come.
 */
function missingOf(session: Session, emitted: ReadonlySet<string>): z.output<typeof TimelineMissing>[] {
  const reason = (why: MissingReason): MissingReason => (session.erasedAt === null ? why : "session_erased");
  const conversation = session.conversationReportedAt !== null;
  const call = session.callReportedAt !== null || session.channel === "text";
  const expected: Array<[event: TimelineMissingEvent, why: MissingReason | null]> = [
    ["session.ended", conversation ? null : "conversation_not_ended"],
    ["call.ended", session.channel !== "call" || call ? null : "call_not_ended"],
    ["session.finalized", whyNotFinalized(session, conversation, call)],
    [
      "recording.ready",
      session.channel !== "call" || session.recordingReportedAt !== null || !call
        ? null
        : "recording_not_reported",
    ],
  ];
  return expected.flatMap(([event, why]) =>
    why === null || emitted.has(event)
      ? []
      : [
          {
            event,
            reason: reason(why),
            expectedBy: event === "recording.ready" ? null : (session.deadlineAt?.toISOString() ?? null),
          },
        ],
  );
}

type TimelineMissingEvent = z.output<typeof TimelineMissing>["event"];

function whyNotFinalized(session: Session, conversation: boolean, call: boolean): MissingReason | null {
  if (session.finalizedAt !== null) return null;
  if (conversation && session.channel === null) return "channel_not_known";
  if (conversation) return "call_not_ended";
  return call ? "conversation_not_ended" : "conversation_and_call_not_ended";
}

/** A settled delivery is its last attempt's row. */
function settledDelivery(log: WebhookLog): z.output<typeof TimelineDelivery>[] {
  if (log.settledAs === null) return [];
  return [
    {
      event: log.event,
      endpointId: log.endpointId,
      url: log.url,
      state: log.settledAs,
      attempts: log.attempt,
      dueAt: null,
      startedAt: null,
    },
  ];
}

function reportsOf(session: Session): z.output<typeof TimelineReport>[] {
  const byOf = (endedBy: Session["conversationEndedBy"]): "runtime" | "sendoff" =>
    endedBy === "runtime" ? "runtime" : "sendoff";
  const reports = [
    { type: "created" as const, at: session.openedAt, by: "runtime" as const },
    {
      type: "conversation-ended" as const,
      at: session.conversationReportedAt,
      by: byOf(session.conversationEndedBy),
    },
    { type: "call-ended" as const, at: session.callReportedAt, by: byOf(session.callEndedBy) },
    { type: "recording-processed" as const, at: session.recordingReportedAt, by: "runtime" as const },
  ];
  return reports
    .flatMap(({ type, at, by }) => (at === null ? [] : [{ type, by, reportedAt: at.toISOString() }]))
    .sort((left, right) => left.reportedAt.localeCompare(right.reportedAt));
}
