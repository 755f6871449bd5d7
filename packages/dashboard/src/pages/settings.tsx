import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { agentQuery } from "../api/queries.ts";
import { PageHead } from "../ui/card.tsx";
import { ErrorNotice, Loading } from "../ui/notice.tsx";
import { AgentWebhookCard } from "./settings/agent-webhook.tsx";
import { ProjectWebhooks } from "./settings/project-webhooks.tsx";
import { SigningSecret } from "./settings/signing-secret.tsx";
import { TestEvent } from "./settings/test-event.tsx";

export default function SettingsPage(): ReactNode {
  const { projectId } = useParams({ from: "/p/$projectId/settings" });
  const agent = useQuery(agentQuery(projectId));
  return (
    <>
      <PageHead title="Settings" note="Where the events of this project's sessions go." />
      {agent.data === undefined ? (
        agent.error === null ? (
          <Loading what="the agent" />
        ) : (
          <ErrorNotice error={agent.error} retry={() => void agent.refetch()} />
        )
      ) : (
        <div className="grid items-start gap-5 lg:grid-cols-[minmax(0,3fr)_minmax(0,2fr)]">
          <div className="min-w-0 space-y-5">
            {/* What is being written is kept until it is saved: only another project brings another form. */}
            <AgentWebhookCard key={projectId} projectId={projectId} webhook={agent.data.postSessionWebhook} />
            <ProjectWebhooks projectId={projectId} />
          </div>
          <div className="min-w-0 space-y-5">
            <TestEvent projectId={projectId} configured={agent.data.postSessionWebhook !== null} />
            <SigningSecret projectId={projectId} configured={agent.data.postSessionWebhook !== null} />
          </div>
        </div>
      )}
    </>
  );
}
