import { type ReactNode, useState } from "react";
import type { EventName, SessionDetail } from "../../api/types.ts";
import { count, length, offset, wholeMoment } from "../../format.ts";
import { EventDot, OutcomeBadge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { Card } from "../../ui/card.tsx";
import { missingWords, reportWords, triggerWords, unsentWords } from "../../words.ts";

interface Happening {
  readonly at: number;
  readonly key: string;
  readonly mark: ReactNode;
  readonly says: ReactNode;
}

/** Longer lists are shown in part first. */
const shownFirst = 60;

/** The same as the lanes, in words: one thing after the other, for reading and for those who can't see the drawing. */
export function InOrder({
  session,
  onAttempt,
}: {
  session: SessionDetail;
  onAttempt: (logId: string) => void;
}): ReactNode {
  const [whole, setWhole] = useState(false);
  const all = happenings(session, onAttempt);
  const [first] = all;
  const shown = whole ? all : all.slice(0, shownFirst);
  return (
    <Card flush title="In order" note="The same in words, with the time since the first">
      <ol className="py-1.5">
        {shown.map(({ at, key, mark, says }) => (
          <li
            key={key}
            className="grid grid-cols-[5.2rem_0.75rem_minmax(0,1fr)] items-baseline gap-x-3 px-4 py-1"
          >
            <time
              dateTime={new Date(at).toISOString()}
              title={wholeMoment(new Date(at))}
              className="numbers text-right text-[12.5px] text-ink-3"
            >
              {first === undefined || at === first.at ? "0 ms" : offset(at - first.at)}
            </time>
            <span className="flex h-[1.5em] items-center self-start">{mark}</span>
            <span className="foreign">{says}</span>
          </li>
        ))}
        {session.timeline.missing.map(({ event, reason }) => (
          <li
            key={`missing ${event}`}
            className="grid grid-cols-[5.2rem_0.75rem_minmax(0,1fr)] items-baseline gap-x-3 px-4 py-1 text-ink-3"
          >
            <span className="text-right text-[12.5px]">missing</span>
            <span className="flex h-[1.5em] items-center self-start">
              <EventDot event={event} hollow />
            </span>
            <span>
              <Name event={event} />: {missingWords[reason]}
            </span>
          </li>
        ))}
      </ol>
      {all.length > shownFirst && (
        <div className="border-t border-line px-4 py-2">
          <Button small onClick={() => setWhole(!whole)}>
            {whole ? "Show the first ones" : `Show all ${count(all.length)}`}
          </Button>
        </div>
      )}
    </Card>
  );
}

const Name = ({ event }: { event: EventName }): ReactNode => (
  <code className="font-mono text-[12.5px]">{event}</code>
);

const reportMark = <span aria-hidden="true" className="block size-2 rotate-45 bg-ink-3" />;
const attemptMark = <span aria-hidden="true" className="block h-1.5 w-3 rounded-sm bg-line-strong" />;

function happenings({ timeline }: SessionDetail, onAttempt: (logId: string) => void): Happening[] {
  const ms = (at: string): number => new Date(at).getTime();
  const all: Happening[] = [
    ...timeline.reports.map(({ type, reportedAt, by }) => ({
      at: ms(reportedAt),
      key: `report ${type} ${reportedAt}`,
      mark: reportMark,
      says: (
        <>
          {reportWords[type]}
          <span className="text-ink-3">
            , {by === "runtime" ? "reported by the runtime" : "stated by Sendoff"}
          </span>
        </>
      ),
    })),
    ...timeline.events.map(({ event, emittedAt, unsentReason, payloadSha256 }) => ({
      at: ms(emittedAt),
      key: `event ${event}`,
      mark: <EventDot event={event} />,
      says: (
        <>
          <Name event={event} /> emitted
          {unsentReason !== null && <span className="text-warn">. {unsentWords[unsentReason]}</span>}
          {payloadSha256 !== null && (
            <span className="block font-mono text-[11.5px] break-all text-ink-3">
              body erased, SHA-256 {payloadSha256}
            </span>
          )}
        </>
      ),
    })),
    ...timeline.attempts.map((log) => ({
      at: ms(log.attemptedAt),
      key: `attempt ${log.id}`,
      mark: attemptMark,
      says: (
        <span className="flex flex-wrap items-center gap-x-2 gap-y-1">
          <button
            type="button"
            className="text-left underline decoration-line-strong underline-offset-3 hover:decoration-ink"
            onClick={() => onAttempt(log.id)}
          >
            {triggerWords[log.trigger]} attempt {log.attempt} of <Name event={log.event} />
          </button>
          <OutcomeBadge outcome={log.outcome} status={log.responseStatus} />
          {log.durationMs !== null && (
            <span className="numbers text-[12.5px] text-ink-3">{length(log.durationMs)}</span>
          )}
          <span className="foreign max-w-full truncate font-mono text-[11.5px] text-ink-3" title={log.url}>
            {log.url.replace(/^https?:\/\//, "")}
          </span>
        </span>
      ),
    })),
  ];
  return all.sort((one, other) => one.at - other.at);
}
