import type { ReactNode } from "react";
import type { WebhookLogDetail } from "../../api/types.ts";
import { length } from "../../format.ts";

const steps = [
  { step: "dns", label: "Name" },
  { step: "connect", label: "Connect" },
  { step: "tls", label: "TLS" },
  { step: "request", label: "Request" },
  { step: "response", label: "Response" },
] as const;

/** How far an attempt came, and how long it took. */
export function Steps({ log: { failedStep, outcome, durationMs } }: { log: WebhookLogDetail }): ReactNode {
  if (outcome === "cancelled" || outcome === "unknown") return null;
  const failed = steps.findIndex(({ step }) => step === failedStep);
  const reached = failed === -1 ? (outcome === "blocked" ? 0 : steps.length) : failed;
  return (
    <section aria-label="How far it came">
      <ol className="grid grid-cols-5 gap-1">
        {steps.map(({ step, label }, index) => {
          const state = index < reached ? "done" : index === failed ? "failed" : "not reached";
          return (
            <li key={step} className="min-w-0">
              <span
                className={`block h-1.5 rounded-full ${state === "done" ? "bg-ok-fill" : state === "failed" ? "bg-bad-fill" : "bg-line"}`}
              />
              <span
                className={`mt-1 block truncate text-xs ${state === "failed" ? "font-medium text-bad" : state === "done" ? "text-ink-2" : "text-ink-3"}`}
              >
                {label}
                {state === "failed" && <span className="max-sm:sr-only"> failed</span>}
                {state === "not reached" && <span className="sr-only"> was not reached</span>}
              </span>
            </li>
          );
        })}
      </ol>
      {durationMs !== null && (
        <p className="numbers mt-1 text-[13px] text-ink-2">
          {length(durationMs)} {failed === -1 ? "in all, from the attempt's turn to the answer." : `until it failed.`}
        </p>
      )}
    </section>
  );
}
