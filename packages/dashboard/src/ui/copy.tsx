import { type ReactNode, useState } from "react";
import { Button } from "./button.tsx";
import { CheckIcon, CopyIcon } from "./icons.tsx";

interface CopyProps {
  readonly text: string | (() => string);
  readonly label?: string;
  /** For those who don't see what stands beside the button. */
  readonly what: string;
  readonly kind?: "plain" | "quiet";
}

/** Copies a text. Where the browser has no clipboard (plain http to another host), it says so. */
export function CopyButton({ text, label, what, kind = "quiet" }: CopyProps): ReactNode {
  const [state, setState] = useState<"ready" | "copied" | "failed">("ready");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "string" ? text : text());
      setState("copied");
    } catch {
      setState("failed");
    }
    setTimeout(() => setState("ready"), 1_800);
  };
  const said = { ready: label, copied: "Copied", failed: "Not allowed here" }[state];
  return (
    <Button
      small
      kind={kind}
      onClick={copy}
      aria-label={label === undefined ? `Copy ${what}` : undefined}
      title={`Copy ${what}`}
    >
      {state === "copied" ? <CheckIcon className="size-3.5 text-ok" /> : <CopyIcon className="size-3.5" />}
      {said === undefined ? null : <span>{said}</span>}
      <span role="status" className="sr-only">
        {state === "copied" ? `Copied ${what}.` : ""}
      </span>
    </Button>
  );
}
