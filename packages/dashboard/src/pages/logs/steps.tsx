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

/** Where an attempt to this URL had to pass: plain http has no TLS. */
const stepsTo = (url: string) => steps.filter(({ step }) => step !== "tls" || url.startsWith("https:"));

/** How far an attempt came, and how long it took. */
export function Steps({ log }: { log: WebhookLogDetail }): ReactNode {
  const { failedStep, outcome, durationMs, responseStatus, url } = log;
  if (outcome === "cancelled" || outcome === "unknown") return null;
  const all = stepsTo(url);
  const failed = all.findIndex(({ step }) => step === failedStep);
  const reached = failed === -1 ? (outcome === "blocked" ? 0 : all.length) : failed;
  return (
    <section aria-label="How far it came">
      <ol className="flex gap-1">
        {all.map(({ step, label }, index) => {
          const state = index < reached ? "done" : index === failed ? "failed" : "not reached";
          return (
            <li key={step} className="min-w-0 flex-1">
              <span
                className={`block h-1.5 rounded-full ${state === "done" ? "bg-ok-fill" : state === "failed" ? "bg-bad-fill" : "bg-line"}`}
              />
              <span
                className={`mt-1 block truncate text-xs ${state === "failed" ? "font-medium text-bad" : state === "done" ? "text-ink-2" : "text-ink-3"}`}
              >
                {label}
                {state === "failed" && ` ${responseStatus ?? "failed"}`}
                {state === "not reached" && <span className="sr-only"> was not reached</span>}
              </span>
            </li>
          );
        })}
      </ol>
      {durationMs !== null && (
        <p className="numbers mt-1 text-[13px] text-ink-2">
          {length(durationMs)} {responseStatus === null ? "until it failed." : "in all, until the answer."}
        </p>
      )}
    </section>
  );
}
