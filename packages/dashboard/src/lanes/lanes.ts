import type {
  EventName,
  SessionDetail,
  TimelineDelivery,
  TimelineEvent,
  TimelineMissing,
  TimelineReport,
  WebhookLog,
} from "../api/types.ts";
import { eventNames } from "../words.ts";
import { type Axis, axisOf } from "./axis.ts";

/** One attempt on a lane. Moments are ms since 1970. */
export interface Span {
  readonly log: WebhookLog;
  readonly from: number;
  readonly to: number;
  /** How long the lane waited before it: since the event, or since the end of the attempt before. */
  readonly waitedMs: number;
}

/** One event owed to one endpoint. */
export interface Owed {
  readonly event: EventName;
  readonly emittedAt: number;
  readonly delivery: TimelineDelivery | null;
  readonly spans: readonly Span[];
  /** The attempt under way began then. */
  readonly underWaySince: number | null;
  /** The next attempt is due then, and has not begun. */
  readonly dueAt: number | null;
}

/** The deliveries of the session to one endpoint, in the order of their events. */
export interface EndpointLane {
  readonly endpointId: string;
  readonly url: string;
  readonly owed: readonly Owed[];
}

export interface Lanes {
  readonly axis: Axis;
  /** The axis ends with this moment because something is still to come; else null. */
  readonly now: number | null;
  readonly reports: readonly TimelineReport[];
  readonly events: readonly TimelineEvent[];
  readonly missing: readonly TimelineMissing[];
  readonly endpoints: readonly EndpointLane[];
}

const ms = (at: string): number => new Date(at).getTime();

/** What is drawn of a session. `now` is ms since 1970. */
export function lanesOf({ timeline, createdAt }: SessionDetail, now: number): Lanes {
  const events = [...timeline.events].sort(
    (one, other) => ms(one.emittedAt) - ms(other.emittedAt) || rank(one.event) - rank(other.event),
  );
  const endpoints = endpointLanes(timeline.deliveries, timeline.attempts, events);
  const reports = [...timeline.reports].sort((one, other) => ms(one.reportedAt) - ms(other.reportedAt));
  const owed = endpoints.flatMap((lane) => lane.owed);
  const spans = owed.flatMap((one) => one.spans);
  const goesOn =
    owed.some(({ dueAt, underWaySince }) => dueAt !== null || underWaySince !== null) ||
    timeline.missing.some(({ expectedBy }) => expectedBy !== null);
  const moments = [
    ms(createdAt),
    ...reports.map(({ reportedAt }) => ms(reportedAt)),
    ...events.map(({ emittedAt }) => ms(emittedAt)),
    ...spans.flatMap(({ from, to }) => [from, to]),
    ...owed.flatMap(({ underWaySince }) => (underWaySince === null ? [] : [underWaySince])),
    ...(goesOn ? [now] : []),
  ];
  return {
    axis: axisOf(moments, spans),
    now: goesOn ? now : null,
    reports,
    events,
    missing: timeline.missing,
    endpoints,
  };
}

const rank = (event: EventName): number => eventNames.indexOf(event);

function endpointLanes(
  deliveries: readonly TimelineDelivery[],
  attempts: readonly WebhookLog[],
  events: readonly TimelineEvent[],
): EndpointLane[] {
  const urls = new Map<string, string>();
  for (const { endpointId, url } of [...attempts, ...deliveries]) urls.set(endpointId, url);
  return [...urls].map(([endpointId, url]) => ({
    endpointId,
    url,
    owed: events.flatMap(({ event, emittedAt }) => {
      const isOf = (row: { endpointId: string; event: EventName }) =>
        row.endpointId === endpointId && row.event === event;
      const delivery = deliveries.find(isOf) ?? null;
      const logs = attempts.filter(isOf).sort((one, other) => ms(one.attemptedAt) - ms(other.attemptedAt));
      if (delivery === null && logs.length === 0) return [];
      return [
        {
          event,
          emittedAt: ms(emittedAt),
          delivery,
          spans: spansOf(logs, ms(emittedAt)),
          underWaySince: delivery?.startedAt == null ? null : ms(delivery.startedAt),
          dueAt: delivery?.dueAt == null ? null : ms(delivery.dueAt),
        },
      ];
    }),
  }));
}

function spansOf(logs: readonly WebhookLog[], emittedAt: number): Span[] {
  let before = emittedAt;
  return logs.map((log) => {
    const from = ms(log.attemptedAt);
    const to = from + Math.max(log.durationMs ?? 0, 0);
    const waitedMs = Math.max(from - before, 0);
    before = to;
    return { log, from, to, waitedMs };
  });
}
