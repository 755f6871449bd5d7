import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { lazy, type ReactNode, Suspense, useState } from "react";
import { call } from "../../api/http.ts";
import { projectWebhooksPath, projectWebhooksQuery } from "../../api/queries.ts";
import type { CreatedProjectWebhook, ProjectWebhook } from "../../api/types.ts";
import { EventTag } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { Card } from "../../ui/card.tsx";
import { PlusIcon } from "../../ui/icons.tsx";
import { Moment } from "../../ui/moment.tsx";
import { ErrorNotice, Loading } from "../../ui/notice.tsx";
import { Secret } from "../../ui/secret.tsx";
import { eventNames } from "../../words.ts";
import { bodyOf, draftOf, fieldErrors } from "./webhook-draft.ts";
import { WebhookForm } from "./webhook-form.tsx";

const Confirm = lazy(() => import("../../ui/dialog.tsx").then((module) => ({ default: module.Confirm })));
const Sheet = lazy(() => import("../../ui/dialog.tsx").then((module) => ({ default: module.Sheet })));

/** Further URLs of the project beside the agent's webhook. */
export function ProjectWebhooks({ projectId }: { projectId: string }): ReactNode {
  const list = useQuery(projectWebhooksQuery(projectId));
  const client = useQueryClient();
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<ProjectWebhook | null>(null);
  const again = () =>
    Promise.all([
      client.invalidateQueries({ queryKey: ["project-webhooks", projectId] }),
      client.invalidateQueries({ queryKey: ["endpoints", projectId] }),
    ]);
  return (
    <Card
      flush
      title="Project webhooks"
      note="Further URLs, each with its own events, headers and secret."
      actions={
        <Button small onClick={() => setAdding(true)}>
          <PlusIcon className="size-3.5" />
          Add
        </Button>
      }
    >
      {list.error !== null && (
        <div className="p-4">
          <ErrorNotice error={list.error} retry={() => void list.refetch()} />
        </div>
      )}
      {list.data === undefined && list.error === null && <Loading what="the project webhooks" />}
      <ul>
        {list.data?.map((webhook) => (
          <li
            key={webhook.id}
            className="flex items-start gap-3 border-b border-line px-4 py-3 last:border-0"
          >
            <div className="min-w-0 flex-1">
              <p className="foreign font-mono text-[12.5px] font-medium">{webhook.url}</p>
              <p className="mt-1 flex flex-wrap gap-x-3 gap-y-0.5">
                {(webhook.events ?? (["session.ended"] as const)).map((event) => (
                  <EventTag key={event} event={event} muted />
                ))}
              </p>
              <p className="mt-1 text-[13px] text-ink-3">
                {webhook.headers === undefined ? "No headers" : `${webhook.headers.length} headers`}, added{" "}
                <Moment at={webhook.createdAt} />
              </p>
            </div>
            <Button small kind="danger" onClick={() => setRemoving(webhook)}>
              Remove
            </Button>
          </li>
        ))}
        {list.data?.length === 0 && (
          <li className="px-4 py-4 text-ink-3">
            None. Add one to send events to a second system, or to get session.started.
          </li>
        )}
      </ul>
      <Suspense fallback={null}>
        {adding && (
          <Sheet
            open
            onClose={() => setAdding(false)}
            title="Add a project webhook"
            note="It gets events from now on."
          >
            <AddWebhook projectId={projectId} onAdded={again} onDone={() => setAdding(false)} />
          </Sheet>
        )}
        {removing !== null && (
          <Confirm
            open
            onClose={() => setRemoving(null)}
            title="Remove this project webhook?"
            action="Remove the webhook"
            acting="Removing ..."
            destructive
            act={async () => {
              await call("DELETE", `${projectWebhooksPath(projectId)}/${encodeURIComponent(removing.id)}`);
              await again();
            }}
          >
            <p>What waits to be sent to it is cancelled. The log of its attempts stays.</p>
            <p>
              <code className="foreign font-mono text-[12.5px] text-ink">{removing.url}</code>
            </p>
          </Confirm>
        )}
      </Suspense>
    </Card>
  );
}

interface AddWebhookProps {
  readonly projectId: string;
  readonly onAdded: () => Promise<unknown>;
  readonly onDone: () => void;
}

function AddWebhook({ projectId, onAdded, onDone }: AddWebhookProps): ReactNode {
  const [draft, setDraft] = useState(() => draftOf(null));
  const add = useMutation({
    mutationFn: () =>
      call<CreatedProjectWebhook>("POST", projectWebhooksPath(projectId), { body: bodyOf(draft) }),
    onSuccess: onAdded,
  });
  const errors = fieldErrors(add.error);
  if (add.data !== undefined) {
    return (
      <div className="max-w-2xl space-y-4">
        <p>
          The webhook is there: <code className="foreign font-mono text-[12.5px]">{add.data.url}</code>
        </p>
        <Secret label="Its signing secret" value={add.data.secret} />
        <Button kind="primary" onClick={onDone}>
          Done
        </Button>
      </div>
    );
  }
  return (
    <form
      noValidate
      className="max-w-2xl"
      onSubmit={(event) => {
        event.preventDefault();
        add.mutate();
      }}
    >
      <WebhookForm draft={draft} onChange={setDraft} events={eventNames} errors={errors} />
      <div className="mt-6 space-y-3">
        {errors.rest !== null && <ErrorNotice error={errors.rest} />}
        <Button type="submit" kind="primary" busy={add.isPending && "Adding ..."}>
          Add the webhook
        </Button>
      </div>
    </form>
  );
}
