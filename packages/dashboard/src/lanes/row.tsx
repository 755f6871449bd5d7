import type { ReactNode } from "react";

/** One row of a lane: its name in the gutter, which stays in view, and what happened on the track. */
export function Row({ label, children }: { label: ReactNode; children?: ReactNode }): ReactNode {
  return (
    <div className="grid h-7 grid-cols-[var(--gutter)_minmax(0,1fr)] items-center">
      <div className="sticky left-0 z-10 mr-2 flex h-full items-center truncate bg-surface/90 pl-3 text-xs text-ink-2 sm:pl-4 sm:text-[12.5px]">
        <span className="truncate">{label}</span>
      </div>
      <div className="relative mr-(--ending) h-full">{children}</div>
    </div>
  );
}

interface BesideProps {
  /** Where the mark stands, 0 to 1. */
  readonly at: number;
  /** Words on the right, where the track keeps room for short ones; else on the side that has more. */
  readonly right?: boolean;
  readonly title?: string;
  readonly children: ReactNode;
}

/** Words beside a mark. */
export function Beside({ at, right = false, title, children }: BesideProps): ReactNode {
  const place =
    at > 0.6 && !right ? { right: `calc(${(1 - at) * 100}% + 11px)` } : { left: `calc(${at * 100}% + 11px)` };
  return (
    <span
      title={title}
      className="numbers absolute top-1/2 -translate-y-1/2 rounded bg-surface/85 px-1 text-xs whitespace-nowrap text-ink-2"
      style={place}
    >
      {children}
    </span>
  );
}
