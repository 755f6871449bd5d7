import type { ReactNode } from "react";

/** One row of a lane: its name in the gutter, which stays in view, and what happened on the track. */
export function Row({ label, children }: { label: ReactNode; children?: ReactNode }): ReactNode {
  return (
    <div className="grid h-7 grid-cols-[var(--gutter)_minmax(0,1fr)] items-center">
      <div className="sticky left-0 z-10 mr-2 flex h-full items-center truncate bg-surface/90 pl-3 text-[12.5px] text-ink-2 sm:pl-4">
        <span className="truncate">{label}</span>
      </div>
      <div className="relative mr-4 h-full">{children}</div>
    </div>
  );
}

/** Words beside a mark, on the side that has more room. `at` is 0 to 1. */
export function Beside({ at, title, children }: { at: number; title?: string; children: ReactNode }): ReactNode {
  const place = at > 0.55 ? { right: `calc(${(1 - at) * 100}% + 11px)` } : { left: `calc(${at * 100}% + 11px)` };
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
