import type { ReactNode } from "react";
import type { DeliveryState, EventName, Outcome } from "../api/types.ts";
import { deliveryWords, eventWords, outcomeWords, type Tone } from "../words.ts";

const tones: Record<Tone, string> = {
  ok: "bg-ok-soft text-ok",
  bad: "bg-bad-soft text-bad",
  warn: "bg-warn-soft text-warn",
  odd: "bg-odd-soft text-odd",
  calm: "bg-sunken text-ink-2",
  accent: "bg-accent-soft text-accent",
};

interface BadgeProps {
  readonly tone: Tone;
  readonly title?: string | undefined;
  readonly children: ReactNode;
}

export function Badge({ tone, title, children }: BadgeProps): ReactNode {
  return (
    <span
      title={title}
      className={`inline-flex items-center gap-1 rounded-[5px] px-1.5 py-px text-xs font-medium whitespace-nowrap ${tones[tone]}`}
    >
      {children}
    </span>
  );
}

export function OutcomeBadge({ outcome, status }: { outcome: Outcome; status?: number | null }): ReactNode {
  const { label, tone, meaning } = outcomeWords[outcome];
  return (
    <Badge tone={tone} title={meaning}>
      {label}
      {status == null ? null : <span className="numbers opacity-90">{status}</span>}
    </Badge>
  );
}

export function DeliveryBadge({ state }: { state: DeliveryState }): ReactNode {
  const { label, tone, meaning } = deliveryWords[state];
  return (
    <Badge tone={tone} title={meaning}>
      {label}
    </Badge>
  );
}

/** An event's name behind its colour. */
export function EventTag({ event, muted = false }: { event: EventName; muted?: boolean }): ReactNode {
  return (
    <span className="inline-flex items-center gap-1.5 whitespace-nowrap" title={eventWords[event].meaning}>
      <EventDot event={event} />
      <span className={`font-mono text-[12.5px] ${muted ? "text-ink-2" : ""}`}>{event}</span>
    </span>
  );
}

export function EventDot({ event, hollow = false }: { event: EventName; hollow?: boolean }): ReactNode {
  const { color } = eventWords[event];
  return (
    <span
      aria-hidden="true"
      className="inline-block size-2 shrink-0 rounded-full border-[1.5px]"
      style={{ borderColor: color, backgroundColor: hollow ? "transparent" : color }}
    />
  );
}
