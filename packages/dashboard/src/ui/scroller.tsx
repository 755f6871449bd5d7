import type { ReactNode, Ref } from "react";

interface ScrollerProps {
  /** What scrolls in it, for those who reach it by keyboard. */
  readonly label: string;
  readonly className: string;
  readonly scrolls?: Ref<HTMLElement>;
  readonly children: ReactNode;
}

/** A part of a page that scrolls by itself, also by keyboard: so it can be focused. */
export function Scroller({ label, className, scrolls, children }: ScrollerProps): ReactNode {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must scroll by keyboard too (WCAG 2.1.1)
    <section ref={scrolls} tabIndex={0} aria-label={label} className={className}>
      {children}
    </section>
  );
}
