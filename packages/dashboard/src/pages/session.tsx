import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { lazy, type ReactNode, Suspense, useMemo } from "react";
import { endpointsQuery, sessionQuery } from "../api/queries.ts";
import type { SessionDetail } from "../api/types.ts";
import { callLength, count } from "../format.ts";
import { LanesDrawing } from "../lanes/drawing.tsx";
import { lanesOf } from "../lanes/lanes.ts";
import { Badge } from "../ui/badge.tsx";
import { Card, PageHead } from "../ui/card.tsx";
import { CopyButton } from "../ui/copy.tsx";
import { BackIcon, CallIcon, TextIcon } from "../ui/icons.tsx";
import { Moment } from "../ui/moment.tsx";
import { ErrorNotice, Loading, Notice } from "../ui/notice.tsx";
import { Variables } from "../ui/variables.tsx";
import { callStatusWords, stateWords } from "../words.ts";
import { Deliveries } from "./session/deliveries.tsx";
import { EraseButton } from "./session/erase.tsx";
import { InOrder } from "./session/in-order.tsx";
import { LateFacts } from "./session/late-facts.tsx";
import { Recording } from "./session/recording.tsx";

const AttemptSheet = lazy(() => import("./logs/attempt-sheet.tsx"));

export default function SessionPage(): ReactNode {
  const { projectId, sessionId } = useParams({ from: "/p/$projectId/sessions/$sessionId" });
  const session = useQuery({
    ...sessionQuery(projectId, sessionId),
    refetchInterval: ({ state }) => (state.data === undefined ? false : goesOn(state.data) ? 1_000 : 5_000),
  });
  if (session.data === undefined) {
    return session.error === null ? (
      <Loading what="the session" />
    ) : (
      <>
        <PageHead title={sessionId} above={<ToSessions projectId={projectId} />} />
        <ErrorNotice error={session.error} retry={() => void session.refetch()} />
      </>
    );
  }
  return <SessionOf projectId={projectId} session={session.data} readAt={session.dataUpdatedAt} />;
}

const goesOn = ({ state, timeline }: SessionDetail): boolean =>
  state !== "finalized" ||
  timeline.deliveries.some((delivery) => delivery.state === "pending" || delivery.state === "in_flight");

interface SessionOfProps {
  readonly projectId: string;
  readonly session: SessionDetail;
  readonly readAt: number;
}

function SessionOf({ projectId, session, readAt }: SessionOfProps): ReactNode {
  const { log } = useSearch({ from: "/p/$projectId/sessions/$sessionId" });
  const navigate = useNavigate({ from: "/p/$projectId/sessions/$sessionId" });
  const endpoints = useQuery(endpointsQuery(projectId));
  const client = useQueryClient();
  const lanes = useMemo(() => lanesOf(session, readAt), [session, readAt]);
  const show = (id: string | undefined) =>
    void navigate({ search: { log: id }, replace: true, resetScroll: false });
  const again = () => void client.invalidateQueries({ queryKey: ["session", projectId, session.sessionId] });
  const { sessionId, erasedAt } = session;
  return (
    <>
      <PageHead
        above={<ToSessions projectId={projectId} />}
        title={<span className="font-mono text-[19px] tracking-tight">{sessionId}</span>}
        beside={<CopyButton text={sessionId} what="the session's id" />}
        actions={
          erasedAt === null && <EraseButton projectId={projectId} sessionId={sessionId} onErased={again} />
        }
      />
      <Facts session={session} />
      {erasedAt !== null && (
        <div className="mb-5">
          <Notice tone="calm">
            This session's data was erased on <Moment at={erasedAt} />. Times, statuses and counts are kept.
          </Notice>
        </div>
      )}
      <div className="space-y-5">
        <Card
          flush
          title="What happened"
          note="Order is exact. Long waits are drawn shorter than they were, with their length above."
        >
          <LanesDrawing lanes={lanes} endpoints={endpoints.data ?? []} onAttempt={show} />
        </Card>
        {session.late.conversation !== null || session.late.call !== null ? (
          <LateFacts late={session.late} />
        ) : null}
        <div className="grid gap-5 lg:grid-cols-[minmax(0,7fr)_minmax(0,5fr)]">
          <div className="min-w-0 space-y-5">
            <Deliveries projectId={projectId} session={session} onResent={again} onAttempt={show} />
            <InOrder session={session} onAttempt={show} />
          </div>
          <div className="min-w-0 space-y-5">
            {session.channel === "call" && <Recording projectId={projectId} session={session} />}
            <Card flush title="Variables" note="What was extracted in the conversation">
              <Variables
                variables={session.extractedVariables}
                none={erasedAt === null ? "No variables were extracted." : "They were erased."}
              />
            </Card>
            {session.variables !== null && Object.keys(session.variables).length > 0 && (
              <Card flush title="Given at creation">
                <Variables variables={session.variables} none="None." />
              </Card>
            )}
          </div>
        </div>
      </div>
      <Suspense fallback={null}>
        {log !== undefined && (
          <AttemptSheet
            projectId={projectId}
            logId={log}
            onClose={() => show(undefined)}
            onShow={show}
            onResent={again}
          />
        )}
      </Suspense>
    </>
  );
}

function ToSessions({ projectId }: { projectId: string }): ReactNode {
  return (
    <Link
      to="/p/$projectId/sessions"
      params={{ projectId }}
      className="mb-2 -ml-1 inline-flex items-center gap-0.5 rounded text-[13px] font-medium text-ink-2 hover:text-ink"
    >
      <BackIcon className="size-4" />
      Sessions
    </Link>
  );
}

function Facts({ session }: { session: SessionDetail }): ReactNode {
  const { channel, state, callStatus, callDuration, messagesCount, currentNodeId, createdAt } = session;
  const facts: [string, ReactNode][] = [
    [
      "Channel",
      <span key="channel" className="inline-flex items-center gap-1.5">
        {channel === "call" ? <CallIcon /> : channel === "text" ? <TextIcon /> : null}
        {channel === "call" ? "Call" : channel === "text" ? "Text" : "Not known yet"}
      </span>,
    ],
    [
      "State",
      <Badge key="state" tone={stateWords[state].tone} title={stateWords[state].meaning}>
        {stateWords[state].label}
      </Badge>,
    ],
    ...(callStatus === null
      ? []
      : ([
          [
            "Call status",
            <Badge key="status" tone={callStatusWords[callStatus].tone} title={callStatus}>
              {callStatusWords[callStatus].label}
            </Badge>,
          ],
        ] as [string, ReactNode][])),
    ...(callDuration === null ? [] : ([["Duration", callLength(callDuration)]] as [string, ReactNode][])),
    ["Messages", count(messagesCount)],
    [
      "Last node",
      <span
        key="node"
        dir="auto"
        className="foreign line-clamp-2 font-mono text-[12.5px]"
        title={currentNodeId.slice(0, 300)}
      >
        {currentNodeId === "" ? "none" : currentNodeId.slice(0, 300)}
      </span>,
    ],
    ["Created", <Moment key="created" at={createdAt} />],
  ];
  return (
    <dl className="mb-5 grid grid-cols-2 gap-x-6 gap-y-3 sm:flex sm:flex-wrap sm:gap-x-9">
      {facts.map(([name, value]) => (
        <div key={name} className="min-w-0">
          <dt className="text-xs text-ink-3">{name}</dt>
          <dd className="numbers mt-0.5 font-medium">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
