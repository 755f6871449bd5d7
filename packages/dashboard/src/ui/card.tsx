import type { ReactNode } from "react";

interface CardProps {
  readonly title?: ReactNode;
  readonly note?: ReactNode;
  readonly actions?: ReactNode;
  readonly flush?: boolean;
  readonly children: ReactNode;
}

export function Card({ title, note, actions, flush = false, children }: CardProps): ReactNode {
  return (
    <section className="min-w-0 rounded-xl border border-line bg-surface shadow-card">
      {(title !== undefined || actions !== undefined) && (
        <header className="flex flex-wrap items-center gap-x-3 gap-y-2 border-b border-line px-4 py-2.5">
          <div className="min-w-0 flex-1">
            {title !== undefined && <h2 className="text-[14px] font-semibold">{title}</h2>}
            {note !== undefined && <p className="text-[13px] text-ink-3">{note}</p>}
          </div>
          {actions}
        </header>
      )}
      <div className={flush ? "" : "p-4"}>{children}</div>
    </section>
  );
}

interface PageHeadProps {
  readonly title: ReactNode;
  /** What belongs to the title and is no part of its text, such as a button that copies it. */
  readonly beside?: ReactNode;
  readonly note?: ReactNode;
  readonly actions?: ReactNode;
  readonly above?: ReactNode;
}

export function PageHead({ title, beside, note, actions, above }: PageHeadProps): ReactNode {
  return (
    <header className="mb-5">
      {above}
      <div className="flex flex-wrap items-end gap-x-4 gap-y-3">
        <div className="min-w-0 flex-1 basis-56">
          <div className="flex items-center gap-1.5">
            <h1 className="foreign min-w-0 text-[22px] leading-tight font-semibold tracking-[-0.01em]">
              {title}
            </h1>
            {beside}
          </div>
          {note !== undefined && <p className="mt-1 text-ink-2">{note}</p>}
        </div>
        {actions !== undefined && <div className="flex flex-wrap items-center gap-2">{actions}</div>}
      </div>
    </header>
  );
}
