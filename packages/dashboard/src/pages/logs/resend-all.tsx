import { Dialog } from "@base-ui/react/dialog";
import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useRef, useState } from "react";
import type { LogFilters } from "../../api/queries.ts";
import { count } from "../../format.ts";
import { Button, buttonClass } from "../../ui/button.tsx";
import { messageOf, Notice } from "../../ui/notice.tsx";
import { eventWords, outcomeWords } from "../../words.ts";
import { type Progress, resendAll } from "./resend-run.ts";

interface ResendAllProps {
  readonly projectId: string;
  readonly filters: LogFilters;
  readonly filtered: boolean;
  readonly onClose: () => void;
}

/** Sends everything of a filter again, one after the other, and can be stopped. */
export default function ResendAll({ projectId, filters, filtered, onClose }: ResendAllProps): ReactNode {
  const [progress, setProgress] = useState<Progress | null>(null);
  const [state, setState] = useState<"ready" | "running" | "done">("ready");
  const [error, setError] = useState<string | null>(null);
  const stop = useRef(new AbortController());
  const client = useQueryClient();
  const run = async () => {
    setState("running");
    try {
      await resendAll(projectId, filters, setProgress, stop.current.signal);
    } catch (failed) {
      if (!stop.current.signal.aborted) setError(messageOf(failed));
    }
    setState("done");
    void client.invalidateQueries({ queryKey: ["logs", projectId] });
  };
  const close = () => {
    stop.current.abort();
    onClose();
  };
  return (
    <Dialog.Root open onOpenChange={(open) => open || close()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="fixed inset-0 z-40 bg-[rgb(15_16_20/0.45)]" />
        <Dialog.Popup className="fixed top-1/2 left-1/2 z-50 w-[min(30rem,calc(100vw-2rem))] -translate-1/2 rounded-xl border border-line bg-raised p-5 shadow-float outline-none">
          <Dialog.Title className="text-[16px] font-semibold">
            {state === "ready"
              ? "Resend all of this filter?"
              : state === "running"
                ? "Resending ..."
                : "Resending has ended"}
          </Dialog.Title>
          <Dialog.Description render={<div />} className="foreign mt-2 space-y-2 text-ink-2">
            {state === "ready" && (
              <>
                <p>
                  Each event is sent again once to its endpoint, with the same webhook-id, whatever its
                  outcome was. Tests and removed endpoints are left out.
                </p>
                <Filter filters={filters} filtered={filtered} />
              </>
            )}
          </Dialog.Description>
          {progress !== null && <Bar progress={progress} done={state === "done"} />}
          {error !== null && (
            <div className="mt-3">
              <Notice tone="bad">{error}</Notice>
            </div>
          )}
          <div className="mt-5 flex justify-end gap-2">
            {state === "ready" && (
              <>
                <Dialog.Close className={buttonClass("plain")}>Cancel</Dialog.Close>
                <Button kind="primary" onClick={() => void run()}>
                  Resend all
                </Button>
              </>
            )}
            {state === "running" && <Button onClick={() => stop.current.abort()}>Stop</Button>}
            {state === "done" && (
              <Button kind="primary" onClick={close}>
                Close
              </Button>
            )}
          </div>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function Filter({ filters, filtered }: { filters: LogFilters; filtered: boolean }): ReactNode {
  if (!filtered) {
    return (
      <Notice tone="warn">
        No filter is set: this is every event in the log. Choose a filter first, unless you mean all.
      </Notice>
    );
  }
  const words: [string, string | undefined][] = [
    [
      "Outcome",
      filters.outcome
        ?.split(",")
        .map((one) => outcomeWords[one as keyof typeof outcomeWords]?.label ?? one)
        .join(", "),
    ],
    [
      "Event",
      filters.event
        ?.split(",")
        .filter((one) => one in eventWords)
        .join(", "),
    ],
    ["Endpoint", filters.endpointId],
    ["Session", filters.sessionId],
    ["Since", filters.from],
  ];
  return (
    <ul className="text-[13px]">
      {words
        .filter(([, value]) => value !== undefined && value !== "")
        .map(([name, value]) => (
          <li key={name}>
            {name}: <span className="text-ink">{value}</span>
          </li>
        ))}
    </ul>
  );
}

function Bar({ progress, done }: { progress: Progress; done: boolean }): ReactNode {
  const { found, complete, resent, skipped, failed } = progress;
  const handled = resent + skipped + failed;
  return (
    <div className="mt-4">
      <progress
        aria-label="Resent"
        value={found === 0 ? 0 : handled}
        max={found || 1}
        className="h-2 w-full accent-accent-fill"
      />
      <p role="status" className="numbers mt-1 text-[13px] text-ink-2">
        {count(handled)} of {count(found)}
        {complete || done ? "" : " found so far"}: {count(resent)} resent, {count(skipped)} left out,{" "}
        {count(failed)} failed.
      </p>
      {progress.lastError !== null && (
        <p className="foreign mt-1 text-[13px] text-bad">{progress.lastError}</p>
      )}
    </div>
  );
}
