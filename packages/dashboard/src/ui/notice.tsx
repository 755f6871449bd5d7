import type { ReactNode } from "react";
import { ApiError } from "../api/http.ts";
import { Button } from "./button.tsx";
import { CheckIcon, WarnIcon } from "./icons.tsx";

interface NoticeProps {
  readonly tone: "bad" | "warn" | "ok" | "calm";
  readonly children: ReactNode;
  readonly action?: ReactNode;
}

const looks = {
  bad: "border-bad-fill/40 bg-bad-soft text-bad",
  warn: "border-warn-fill/40 bg-warn-soft text-warn",
  ok: "border-ok-fill/40 bg-ok-soft text-ok",
  calm: "border-line bg-sunken text-ink-2",
};

export function Notice({ tone, children, action }: NoticeProps): ReactNode {
  return (
    <div
      role={tone === "bad" ? "alert" : "status"}
      className={`flex flex-wrap items-start gap-x-3 gap-y-2 rounded-lg border px-3 py-2.5 ${looks[tone]}`}
    >
      {tone === "ok" ? <CheckIcon className="mt-0.5 size-4" /> : <WarnIcon className="mt-0.5 size-4" />}
      <div className="foreign min-w-0 flex-1">{children}</div>
      {action}
    </div>
  );
}

/** What the API said went wrong, field by field when it named fields. */
export function ErrorNotice({
  error,
  retry,
}: {
  error: unknown;
  retry?: (() => void) | undefined;
}): ReactNode {
  const details = error instanceof ApiError ? error.details : [];
  return (
    <Notice
      tone="bad"
      action={
        retry && (
          <Button small onClick={retry}>
            Try again
          </Button>
        )
      }
    >
      <p>{messageOf(error)}</p>
      {details.length > 1 && (
        <ul className="mt-1 list-disc pl-4">
          {details.slice(0, 20).map(({ path, message }) => (
            <li key={`${path} ${message}`}>
              {path !== "" && <code className="font-mono text-xs">{path}: </code>}
              {message}
            </li>
          ))}
        </ul>
      )}
    </Notice>
  );
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Something is fetched. It says what, and is shown only when it takes longer than a moment. */
export function Loading({ what }: { what: string }): ReactNode {
  return (
    <p role="status" className="animate-breathe px-1 py-8 text-center text-ink-3">
      Loading {what} ...
    </p>
  );
}

interface EmptyProps {
  readonly title: string;
  readonly children: ReactNode;
  readonly action?: ReactNode;
}

/** Nothing is here yet: why, and what to do next. */
export function Empty({ title, children, action }: EmptyProps): ReactNode {
  return (
    <div className="mx-auto flex max-w-md flex-col items-center gap-2 px-4 py-14 text-center">
      <h2 className="text-[15px] font-semibold">{title}</h2>
      <div className="text-ink-2">{children}</div>
      {action && <div className="mt-3">{action}</div>}
    </div>
  );
}
