import { type ReactNode, type RefObject, useEffect, useRef, useState } from "react";
import type { Endpoint, EventName, TimelineEvent, TimelineMissing } from "../api/types.ts";
import { length, moment } from "../format.ts";
import { EventDot } from "../ui/badge.tsx";
import { Scroller } from "../ui/scroller.tsx";
import { eventWords, missingWords, reportWords, unsentWords } from "../words.ts";
import { labelled } from "./axis.ts";
import type { EndpointLane, Lanes } from "./lanes.ts";
import { OwedRow } from "./owed-row.tsx";
import { Beside, Row } from "./row.tsx";

interface DrawingProps {
  readonly lanes: Lanes;
  readonly endpoints: readonly Endpoint[];
  readonly onAttempt: (logId: string) => void;
}

/** Room that a stretch of the axis needs to be seen, and that a label needs, in px. */
const stretchPx = 11;
const labelPx = 66;

/** A session as lanes: its reports, its events, and what each endpoint was sent, under one axis of time. */
export function LanesDrawing({ lanes, endpoints, onAttempt }: DrawingProps): ReactNode {
  const track = useRef<HTMLDivElement>(null);
  const width = useWidth(track);
  const { axis } = lanes;
  return (
    <Scroller
      label="Lanes: what happened, from left to right"
      className="relative overflow-x-auto rounded-b-xl pb-3 [--ending:6.2rem] [--gutter:10.25rem] sm:[--ending:7rem] sm:[--gutter:11.5rem]"
    >
      <div
        className="relative"
        style={{ minWidth: `calc(var(--gutter) + ${axis.stretches * stretchPx + 150}px)` }}
      >
        <Ground lanes={lanes} track={track} width={width} />
        <div className="h-12" />
        <Lane title="Reports" note="what the runtime said">
          {lanes.reports.map(({ type, reportedAt, by }) => {
            const at = axis.at(new Date(reportedAt).getTime());
            return (
              <Row key={`${type} ${reportedAt}`} label={reportWords[type]}>
                <span
                  className={`absolute top-1/2 size-2.5 -translate-1/2 rotate-45 border-[1.5px] border-ink-2 ${by === "runtime" ? "bg-ink-2" : "bg-surface"}`}
                  style={{ left: `${at * 100}%` }}
                />
                <Beside at={at} title={reportedAt}>
                  {by === "runtime" ? moment(reportedAt) : `${moment(reportedAt)}, stated by Sendoff`}
                </Beside>
              </Row>
            );
          })}
        </Lane>
        <Lane title="Events" note="what became true">
          {lanes.events.map((event) => (
            <EventRow key={event.event} event={event} at={axis.at(new Date(event.emittedAt).getTime())} />
          ))}
          {lanes.missing.map((missing) => (
            <MissingRow key={missing.event} missing={missing} />
          ))}
          {lanes.events.length + lanes.missing.length === 0 && (
            <Row label={<span className="text-ink-3">None yet</span>} />
          )}
        </Lane>
        {[...lanes.endpoints].sort(agentFirst(endpoints)).map((lane) => (
          <Lane key={lane.endpointId} title={kindOf(lane, endpoints)} note={lane.url} foreign>
            {lane.owed.map((owed) => (
              <OwedRow key={owed.event} owed={owed} lanes={lanes} width={width} onAttempt={onAttempt} />
            ))}
          </Lane>
        ))}
      </div>
    </Scroller>
  );
}

/** The agent's webhook is what people look for first. */
const agentFirst =
  (endpoints: readonly Endpoint[]) =>
  (one: EndpointLane, other: EndpointLane): number => {
    const rank = ({ endpointId }: EndpointLane) =>
      endpoints.some((endpoint) => endpoint.endpointId === endpointId && endpoint.kind === "agent") ? 0 : 1;
    return rank(one) - rank(other);
  };

function kindOf({ endpointId }: EndpointLane, endpoints: readonly Endpoint[]): string {
  const endpoint = endpoints.find((one) => one.endpointId === endpointId);
  if (endpoint === undefined) return "Endpoint";
  const kind = endpoint.kind === "agent" ? "Agent's webhook" : "Project webhook";
  return endpoint.removedAt === null ? kind : `${kind}, removed`;
}

interface LaneProps {
  readonly title: string;
  readonly note: string;
  readonly foreign?: boolean;
  readonly children: ReactNode;
}

function Lane({ title, note, foreign = false, children }: LaneProps): ReactNode {
  return (
    <section
      aria-label={foreign ? `${title}, ${note}` : title}
      className="relative border-t border-line pt-1.5 pb-1.5"
    >
      <h3 className="sticky left-0 flex w-[min(100%,calc(100vw-3rem))] items-baseline gap-2 px-3 pb-0.5 sm:px-4">
        <span className="shrink-0 bg-surface pr-1 text-[12.5px] font-semibold">{title}</span>
        <span
          title={note}
          className={`min-w-0 truncate bg-surface px-1 text-xs text-ink-3 ${foreign ? "foreign font-mono text-[11.5px]" : ""}`}
        >
          {note}
        </span>
      </h3>
      {children}
    </section>
  );
}

function EventRow({
  event: { event, deliveries, unsentReason, emittedAt },
  at,
}: {
  event: TimelineEvent;
  at: number;
}): ReactNode {
  const { color } = eventWords[event];
  return (
    <Row label={<EventLabel event={event} />}>
      <span
        className="absolute top-1/2 size-3.5 -translate-1/2 rounded-full border-2 border-surface"
        style={{ left: `${at * 100}%`, backgroundColor: color }}
      />
      <Beside at={at} title={emittedAt}>
        {unsentReason === null ? (
          `${moment(emittedAt)}, to ${deliveries} ${deliveries === 1 ? "endpoint" : "endpoints"}`
        ) : (
          <span className="font-medium text-warn" title={unsentWords[unsentReason]}>
            Went nowhere: {unsentReason === "no_endpoint" ? "no webhook" : "not subscribed"}
          </span>
        )}
      </Beside>
    </Row>
  );
}

function MissingRow({ missing: { event, reason, expectedBy } }: { missing: TimelineMissing }): ReactNode {
  return (
    <Row label={<EventLabel event={event} muted />}>
      <span
        className="absolute top-1/2 left-full size-3 -translate-1/2 rounded-full border-[1.5px] border-dashed"
        style={{ borderColor: eventWords[event].color }}
      />
      <Beside at={1} title={missingWords[reason]}>
        {expectedBy === null ? "Not there" : `Expected by ${moment(expectedBy)}`}
      </Beside>
    </Row>
  );
}

function EventLabel({ event, muted = false }: { event: EventName; muted?: boolean }): ReactNode {
  return (
    <span
      className={`flex items-center gap-1.5 font-mono text-[11px] sm:text-xs ${muted ? "text-ink-3" : ""}`}
    >
      <EventDot event={event} hollow={muted} />
      {event}
    </span>
  );
}

/** Behind the lanes: breaks, the beginnings of bursts, and a line down from each event. */
function Ground({
  lanes,
  track,
  width,
}: {
  lanes: Lanes;
  track: RefObject<HTMLDivElement | null>;
  width: number;
}): ReactNode {
  const { axis, now } = lanes;
  const stops = labelled(axis.stops, width === 0 ? 1 : labelPx / width);
  return (
    <div
      className="pointer-events-none absolute inset-y-0 right-(--ending) left-(--gutter)"
      aria-hidden="true"
    >
      <div ref={track} className="relative h-full">
        {axis.breaks.map(({ from, to, lengthMs }) => (
          <div
            key={from}
            className="break-band absolute top-11 bottom-0"
            style={{ left: `${from * 100}%`, width: `${(to - from) * 100}%` }}
          >
            {(to - from) * width > 22 && (
              <span className="numbers absolute -top-9.5 left-1/2 -translate-x-1/2 rounded-full border border-line bg-sunken px-1.5 text-[11px] whitespace-nowrap text-ink-2">
                {length(lengthMs)}
              </span>
            )}
          </div>
        ))}
        {stops.map(({ moment: at, at: place, sinceMs, begins }) => (
          <div key={at} className="absolute inset-y-0" style={{ left: `${place * 100}%` }}>
            <span className={`absolute top-11 bottom-0 w-px ${begins ? "bg-line-strong" : "bg-line"}`} />
            <span
              className={`numbers absolute top-6.5 text-[11px] whitespace-nowrap ${begins ? "font-medium text-ink" : "text-ink-3"}`}
            >
              {at === now ? "now" : begins ? moment(new Date(at)).slice(-8) : `+${length(sinceMs)}`}
            </span>
          </div>
        ))}
        {lanes.events.map(({ event, emittedAt }) => (
          <div
            key={event}
            className="absolute top-12 bottom-0 w-0 border-l border-dashed opacity-45"
            style={{
              left: `${axis.at(new Date(emittedAt).getTime()) * 100}%`,
              borderColor: eventWords[event].color,
            }}
          />
        ))}
      </div>
    </div>
  );
}

function useWidth(element: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (element.current === null) return;
    const observer = new ResizeObserver(([entry]) => setWidth(entry?.contentRect.width ?? 0));
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [element]);
  return width;
}
