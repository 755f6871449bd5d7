import type { ReactNode } from "react";
import { length, moment } from "../format.ts";
import { EventDot } from "../ui/badge.tsx";
import { eventWords, outcomeWords, type Tone, triggerWords } from "../words.ts";
import type { Lanes, Owed, Span } from "./lanes.ts";
import { Beside, Row } from "./row.tsx";

const fills: Record<Tone, string> = {
  ok: "bg-ok-fill",
  bad: "bg-bad-fill",
  warn: "bg-warn-fill",
  odd: "bg-odd-fill",
  calm: "bg-line-strong",
  accent: "bg-accent-fill",
};
const inks: Record<Tone, string> = {
  ok: "text-ok",
  bad: "text-bad",
  warn: "text-warn",
  odd: "text-odd",
  calm: "text-ink-2",
  accent: "text-accent",
};

/** Room that words between two attempts need, in px. */
const wordsPx = 62;

interface OwedRowProps {
  readonly owed: Owed;
  readonly lanes: Lanes;
  /** Of the track, in px. */
  readonly width: number;
  readonly onAttempt: (logId: string) => void;
}

/** What became of one event at one endpoint: the wait, each attempt, the gaps between, and what is still to come. */
export function OwedRow({ owed, lanes: { axis, now }, width, onAttempt }: OwedRowProps): ReactNode {
  const { event, emittedAt, spans, underWaySince, dueAt } = owed;
  const last = spans.at(-1);
  const end = axis.at(last?.to ?? emittedAt);
  const goesOn = now !== null && (underWaySince !== null || dueAt !== null);
  return (
    <Row
      label={
        <span className="flex items-center gap-1.5 font-mono text-[11px] sm:text-xs">
          <EventDot event={event} />
          {event}
        </span>
      }
    >
      {spans.map((span, index) => (
        <Wait
          key={`wait ${span.log.id}`}
          from={axis.at(spans[index - 1]?.to ?? emittedAt)}
          to={axis.at(span.from)}
          waitedMs={span.waitedMs}
          again={index > 0}
          color={eventWords[event].color}
          width={width}
        />
      ))}
      {spans.map((span) => (
        <AttemptBar
          key={span.log.id}
          span={span}
          from={axis.at(span.from)}
          to={axis.at(span.to)}
          onAttempt={onAttempt}
        />
      ))}
      {goesOn && (
        <span
          className="absolute top-1/2 h-0 -translate-y-1/2 border-t-2 border-dashed border-warn-fill"
          style={{ left: `${end * 100}%`, width: `${(axis.at(underWaySince ?? now) - end) * 100}%` }}
        />
      )}
      {underWaySince !== null && now !== null && (
        <span
          className="striped absolute top-1/2 h-3.5 -translate-y-1/2 rounded-[4px] bg-accent-fill"
          style={{
            left: `${axis.at(underWaySince) * 100}%`,
            width: `${(1 - axis.at(underWaySince)) * 100}%`,
          }}
        />
      )}
      {goesOn ? (
        <Beside at={1} right>
          {underWaySince !== null
            ? "under way"
            : dueAt !== null && dueAt > now
              ? `next at ${moment(new Date(dueAt))}`
              : "waits for its turn"}
        </Beside>
      ) : (
        last !== undefined && (
          <Beside at={end} right title={outcomeWords[last.log.outcome].meaning}>
            <span className={`font-medium ${inks[outcomeWords[last.log.outcome].tone]}`}>
              {saysShort(last)}
            </span>
            {last.log.durationMs !== null && (
              <span className="text-ink-3"> {length(last.log.durationMs)}</span>
            )}
          </Beside>
        )
      )}
    </Row>
  );
}

const saysShort = ({ log }: Span): string =>
  log.responseStatus !== null ? String(log.responseStatus) : outcomeWords[log.outcome].label;

interface WaitProps {
  readonly from: number;
  readonly to: number;
  readonly waitedMs: number;
  readonly again: boolean;
  readonly color: string;
  readonly width: number;
}

function Wait({ from, to, waitedMs, again, color, width }: WaitProps): ReactNode {
  if (to <= from) return null;
  const roomy = (to - from) * width > wordsPx && waitedMs >= 100;
  return (
    <span
      className={`absolute top-1/2 h-0 border-t-[1.5px] ${again ? "border-dotted" : "border-solid"}`}
      style={{
        left: `${from * 100}%`,
        width: `${(to - from) * 100}%`,
        borderColor: again ? "var(--line-strong)" : `color-mix(in srgb, ${color} 70%, transparent)`,
      }}
    >
      {roomy && (
        <span className="numbers absolute left-1/2 -translate-1/2 rounded bg-surface px-1 text-[11px] whitespace-nowrap text-ink-3">
          {again ? length(waitedMs) : `waited ${length(waitedMs)}`}
        </span>
      )}
    </span>
  );
}

interface AttemptBarProps {
  readonly span: Span;
  readonly from: number;
  readonly to: number;
  readonly onAttempt: (logId: string) => void;
}

function AttemptBar({ span: { log, waitedMs }, from, to, onAttempt }: AttemptBarProps): ReactNode {
  const { label, tone } = outcomeWords[log.outcome];
  const took = log.durationMs === null ? "" : `, took ${length(log.durationMs)}`;
  const said = `${log.event}, attempt ${log.attempt} (${triggerWords[log.trigger].toLowerCase()}): ${label.toLowerCase()}${log.responseStatus === null ? "" : ` ${log.responseStatus}`}${took}, began after ${length(waitedMs)}`;
  return (
    <button
      type="button"
      title={said}
      aria-label={said}
      onClick={() => onAttempt(log.id)}
      className={`absolute top-1/2 z-[5] h-3.5 min-w-2 -translate-y-1/2 rounded-[4px] shadow-[0_0_0_2px_var(--surface)] transition-[filter] before:absolute before:-inset-x-2 before:-inset-y-1.5 hover:brightness-110 ${fills[tone]}`}
      style={{ left: `${from * 100}%`, width: `${(to - from) * 100}%` }}
    />
  );
}
