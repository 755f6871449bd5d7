import { type ReactNode, useState } from "react";
import type { EventName } from "../../api/types.ts";
import { Card } from "../../ui/card.tsx";
import { CopyButton } from "../../ui/copy.tsx";
import { Scroller } from "../../ui/scroller.tsx";
import { type Framework, frameworks, snippetOf } from "./snippets.ts";

/** A receiver for the chosen event, ready to be copied. */
export function Snippet({ event }: { event: EventName | null }): ReactNode {
  const [framework, setFramework] = useState<Framework>("express");
  const code = snippetOf(framework, event ?? "session.finalized");
  return (
    <Card
      flush
      title="Receive it"
      note={`Verifies the signature and handles ${event ?? "session.finalized"}.`}
      actions={<CopyButton text={code} what="the receiver" label="Copy" kind="plain" />}
    >
      <div className="flex gap-1 border-b border-line px-3 py-1.5">
        {(Object.keys(frameworks) as Framework[]).map((value) => (
          <button
            key={value}
            type="button"
            aria-pressed={framework === value}
            onClick={() => setFramework(value)}
            className="rounded-md px-2.5 py-1 text-[13px] font-medium text-ink-2 hover:bg-sunken aria-pressed:bg-accent-soft aria-pressed:text-accent"
          >
            {frameworks[value]}
          </button>
        ))}
      </div>
      <Scroller label="Receiver" className="overflow-x-auto">
        <pre className="p-4 font-mono text-[12.5px] leading-[1.6]">{code}</pre>
      </Scroller>
    </Card>
  );
}
