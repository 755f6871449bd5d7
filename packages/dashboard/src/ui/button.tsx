import type { ButtonHTMLAttributes, ReactNode } from "react";

type Kind = "primary" | "plain" | "quiet" | "danger";

const kinds: Record<Kind, string> = {
  primary: "bg-accent-fill text-accent-ink hover:opacity-90 border-transparent shadow-card",
  plain: "bg-surface text-ink border-line-strong hover:bg-sunken shadow-card",
  quiet: "bg-transparent text-ink-2 border-transparent hover:bg-sunken hover:text-ink",
  danger: "bg-surface text-bad border-line-strong hover:bg-bad-soft shadow-card",
};

const shape =
  "inline-flex items-center justify-center gap-1.5 rounded-md border px-3 font-medium whitespace-nowrap transition-colors disabled:opacity-55 disabled:cursor-not-allowed";

export function buttonClass(kind: Kind = "plain", small = false): string {
  return `${shape} ${small ? "h-7 px-2 text-[13px]" : "h-9"} ${kinds[kind]}`;
}

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  readonly kind?: Kind;
  readonly small?: boolean;
  /** What to say while it works; the button can't be pressed meanwhile. */
  readonly busy?: string | false | undefined;
}

export function Button({ kind, small, busy, className = "", children, ...rest }: ButtonProps): ReactNode {
  return (
    <button
      type="button"
      {...rest}
      disabled={rest.disabled === true || (busy !== undefined && busy !== false)}
      className={`${buttonClass(kind, small)} ${className}`}
    >
      {busy ? busy : children}
    </button>
  );
}
