import type { ReactNode } from "react";

export function Tiles({ children }: { children: ReactNode }): ReactNode {
  return (
    <dl className="grid grid-cols-2 gap-px overflow-hidden rounded-xl border border-line bg-line shadow-card sm:grid-cols-3 xl:grid-cols-6">
      {children}
    </dl>
  );
}

interface TileProps {
  readonly name: string;
  readonly value: string;
  readonly tone?: "bad" | "warn" | undefined;
  readonly children?: ReactNode;
}

const tones = { bad: "text-bad", warn: "text-warn" };

export function Tile({ name, value, tone, children }: TileProps): ReactNode {
  return (
    <div className="bg-surface px-4 py-3">
      <dt className="text-[13px] text-ink-2">{name}</dt>
      <dd
        className={`numbers mt-0.5 text-[22px] leading-tight font-semibold tracking-[-0.02em] ${tone === undefined ? "" : tones[tone]}`}
      >
        {value}
      </dd>
      <dd className="numbers min-h-[1.3em] text-[12.5px] text-ink-3">{children}</dd>
    </div>
  );
}
