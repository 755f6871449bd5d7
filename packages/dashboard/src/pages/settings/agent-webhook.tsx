import { useMutation, useQueryClient } from "@tanstack/react-query";
import { lazy, type ReactNode, Suspense, useState } from "react";
import { call, projectPath } from "../../api/http.ts";
import { agentQuery } from "../../api/queries.ts";
import type { Agent, AgentWebhook, EventName } from "../../api/types.ts";
import { Badge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { Card } from "../../ui/card.tsx";
import { ErrorNotice, Notice } from "../../ui/notice.tsx";
import { Secret } from "../../ui/secret.tsx";
import { bodyOf, draftOf, fieldErrors } from "./webhook-draft.ts";
import { WebhookForm } from "./webhook-form.tsx";

const Confirm = lazy(() => import("../../ui/dialog.tsx").then((module) => ({ default: module.Confirm })));

const events: readonly EventName[] = ["session.ended", "call.ended", "session.finalized", "recording.ready"];

export function AgentWebhookCard({
  projectId,
  webhook,
}: {
  projectId: string;
  webhook: AgentWebhook | null;
}): ReactNode {
  const [draft, setDraft] = useState(() => draftOf(webhook));
  const [removing, setRemoving] = useState(false);
  const client = useQueryClient();
  const write = async (postSessionWebhook: ReturnType<typeof bodyOf> | null): Promise<Agent> => {
    const { data } = await call<{ data: Agent }>("PATCH", projectPath(projectId, "/agent"), {
      body: { postSessionWebhook },
    });
    client.setQueryData(agentQuery(projectId).queryKey, data);
    void client.invalidateQueries({ queryKey: ["endpoints", projectId] });
    setDraft(draftOf(data.postSessionWebhook));
    return data;
  };
  const save = useMutation({ mutationFn: () => write(bodyOf(draft)) });
  const errors = fieldErrors(save.error);
  const change = (next: typeof draft) => {
    setDraft(next);
    if (save.isSuccess) save.reset();
  };
  return (
    <Card
      title="Agent's webhook"
      note="Gets the events of every session of the agent."
      actions={
        webhook === null ? <Badge tone="warn">Not configured</Badge> : <Badge tone="ok">Configured</Badge>
      }
    >
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <WebhookForm draft={draft} onChange={change} events={events} errors={errors} />
        <div className="mt-6 space-y-3 border-t border-line pt-4">
          {errors.rest !== null && <ErrorNotice error={errors.rest} />}
          {save.data?.signingSecret !== undefined && (
            <Secret label="The webhook's signing secret" value={save.data.signingSecret} />
          )}
          {save.isSuccess && <Notice tone="ok">Saved. Attempts from now on use it.</Notice>}
          <div className="flex flex-wrap gap-2">
            <Button type="submit" kind="primary" busy={save.isPending && "Saving ..."}>
              Save the webhook
            </Button>
            {webhook !== null && (
              <Button kind="danger" onClick={() => setRemoving(true)}>
                Remove
              </Button>
            )}
          </div>
        </div>
      </form>
      {removing && (
        <Suspense fallback={null}>
          <Confirm
            open
            onClose={() => setRemoving(false)}
            title="Remove the agent's webhook?"
            action="Remove the webhook"
            acting="Removing ..."
            destructive
            act={async () => {
              await write(null);
              save.reset();
            }}
          >
            <p>
              What waits to be sent to it is cancelled, and its signing secret is gone. The log of its
              attempts stays.
            </p>
            <p>
              <code className="foreign font-mono text-[12.5px] text-ink">{webhook?.url}</code>
            </p>
          </Confirm>
        </Suspense>
      )}
    </Card>
  );
}
