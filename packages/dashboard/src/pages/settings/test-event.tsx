import { useMutation } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { call, projectPath } from "../../api/http.ts";
import type { Channel, EventName, WebhookLogDetail } from "../../api/types.ts";
import { length } from "../../format.ts";
import { EventDot, OutcomeBadge } from "../../ui/badge.tsx";
import { Body } from "../../ui/body.tsx";
import { Button, buttonClass } from "../../ui/button.tsx";
import { Card } from "../../ui/card.tsx";
import { Choice } from "../../ui/choice.tsx";
import { ErrorNotice } from "../../ui/notice.tsx";
import { outcomeWords } from "../../words.ts";

const choices: readonly { value: string; label: string; event: EventName; channel: Channel }[] = [
  { value: "session.ended", label: "session.ended", event: "session.ended", channel: "call" },
  { value: "call.ended", label: "call.ended", event: "call.ended", channel: "call" },
  {
    value: "session.finalized",
    label: "session.finalized, of a call",
    event: "session.finalized",
    channel: "call",
  },
  {
    value: "session.finalized text",
    label: "session.finalized, of a text",
    event: "session.finalized",
    channel: "text",
  },
  { value: "recording.ready", label: "recording.ready", event: "recording.ready", channel: "call" },
];

/** Sends a realistic event now and shows what the endpoint answered. */
export function TestEvent({ projectId, configured }: { projectId: string; configured: boolean }): ReactNode {
  const [value, setValue] = useState("session.finalized");
  const test = useMutation({
    mutationFn: async () => {
      const chosen = choices.find((choice) => choice.value === value);
      const { data } = await call<{ data: WebhookLogDetail }>(
        "POST",
        projectPath(projectId, "/agent/webhook/test"),
        {
          body: { event: chosen?.event, channel: chosen?.channel },
        },
      );
      return data;
    },
  });
  return (
    <Card title="Test event" note="One realistic example, sent now by the same path as any other.">
      {configured ? (
        <form
          className="flex flex-wrap gap-2"
          onSubmit={(event) => {
            event.preventDefault();
            test.mutate();
          }}
        >
          <Choice
            label="Event to send"
            className="w-full font-mono text-[13px]"
            value={value}
            onChange={setValue}
            options={choices.map((choice) => ({
              value: choice.value,
              label: choice.label,
              mark: <EventDot event={choice.event} />,
            }))}
          />
          <Button type="submit" kind="primary" busy={test.isPending && "Waiting for the answer ..."}>
            Send test event
          </Button>
        </form>
      ) : (
        <p className="text-ink-2">Save the webhook first, then send it a test event.</p>
      )}
      {test.error !== null && (
        <div className="mt-3">
          <ErrorNotice error={test.error} />
        </div>
      )}
      {test.data !== undefined && !test.isPending && <Answer projectId={projectId} log={test.data} />}
    </Card>
  );
}

function Answer({ projectId, log }: { projectId: string; log: WebhookLogDetail }): ReactNode {
  return (
    <section
      aria-label="Answer to the test event"
      className="mt-4 overflow-clip rounded-lg border border-line"
    >
      <div
        role="status"
        className="flex flex-wrap items-center gap-2 border-b border-line bg-sunken px-3 py-2"
      >
        <OutcomeBadge outcome={log.outcome} status={log.responseStatus} />
        {log.durationMs !== null && (
          <span className="numbers text-[13px] text-ink-2">{length(log.durationMs)}</span>
        )}
        <Link
          to="/p/$projectId/logs"
          params={{ projectId }}
          search={{ log: log.id }}
          className={`${buttonClass("quiet", true)} ml-auto`}
        >
          Details
        </Link>
      </div>
      {log.outcome !== "delivered" && (
        <p className="border-b border-line px-3 py-2 text-[13px] text-ink-2">
          {outcomeWords[log.outcome].meaning}
          {log.errorCode !== null && (
            <code className="ml-1.5 font-mono text-xs text-bad">{log.errorCode}</code>
          )}
        </p>
      )}
      <Body text={log.responseBody} what="Body of the answer" none="There was no body in the answer." />
    </section>
  );
}
