import type { ReactNode } from "react";
import { CopyButton } from "./copy.tsx";

/** A secret that is shown this once. */
export function Secret({ label, value }: { label: string; value: string }): ReactNode {
  return (
    <div role="status" className="rounded-lg border border-warn-fill/50 bg-warn-soft p-3">
      <p className="font-medium text-warn">{label}</p>
      <p className="text-[13px] text-warn">Copy it now: it is shown here once and can't be read again.</p>
      <div className="mt-2 flex items-center gap-2 rounded-md border border-line bg-surface p-1 pl-2.5">
        <code data-secret className="min-w-0 flex-1 font-mono text-[12.5px] break-all">
          {value}
        </code>
        <CopyButton text={value} what={label} label="Copy" kind="plain" />
      </div>
    </div>
  );
}
