import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { type ReactNode, useMemo } from "react";
import { flat, unsentQuery } from "../../api/queries.ts";
import type { UnsentEvent } from "../../api/types.ts";
import { EventTag } from "../../ui/badge.tsx";
import { buttonClass } from "../../ui/button.tsx";
import { Moment } from "../../ui/moment.tsx";
import { Empty, ErrorNotice, Loading } from "../../ui/notice.tsx";
import { type Column, Table } from "../../ui/table.tsx";
import { unsentWords } from "../../words.ts";

/** Events that no endpoint was owed, and why. */
export function Unsent({ projectId }: { projectId: string }): ReactNode {
  const navigate = useNavigate();
  const list = useInfiniteQuery(unsentQuery(projectId));
  const rows = useMemo(() => flat(list.data), [list.data]);
  const columns: Column<UnsentEvent>[] = [
    {
      name: "Event",
      className: "w-full sm:w-[26%]",
      cell: (one) => (
        <>
          <Link
            to="/p/$projectId/sessions/$sessionId"
            params={{ projectId, sessionId: one.sessionId }}
            className="rounded hover:underline"
          >
            <EventTag event={one.event} />
          </Link>
          <span className="mt-0.5 block truncate text-[12.5px] text-ink-3 sm:hidden">
            {unsentWords[one.reason]}
          </span>
        </>
      ),
    },
    {
      name: "Why",
      className: "max-sm:hidden sm:w-[40%]",
      cell: ({ reason }) => <span className="text-ink-2">{unsentWords[reason]}</span>,
    },
    {
      name: "Session",
      className: "max-md:hidden md:w-[22%]",
      cell: ({ sessionId }) => (
        <span className="foreign block truncate font-mono text-xs text-ink-2">{sessionId}</span>
      ),
    },
    {
      name: "Time",
      className: "max-sm:hidden text-right sm:w-[18%]",
      cell: ({ emittedAt }) => <Moment at={emittedAt} className="text-ink-2" />,
    },
  ];
  return (
    <div className="overflow-clip rounded-xl border border-line bg-surface shadow-card">
      {list.error !== null && (
        <div className="p-4">
          <ErrorNotice error={list.error} retry={() => void list.refetch()} />
        </div>
      )}
      {list.data === undefined ? (
        list.error === null && <Loading what="the events" />
      ) : rows.length === 0 ? (
        <Empty
          title="Every event had a place to go"
          action={
            <Link to="/p/$projectId/settings" params={{ projectId }} className={buttonClass("plain")}>
              See the webhooks
            </Link>
          }
        >
          An event appears here when no webhook was there for it, or none subscribed to it.
        </Empty>
      ) : (
        <Table
          label="Events that went nowhere"
          columns={columns}
          rows={rows}
          idOf={({ webhookId }) => webhookId}
          onOpen={({ sessionId }) =>
            void navigate({ to: "/p/$projectId/sessions/$sessionId", params: { projectId, sessionId } })
          }
          more={list.hasNextPage ? () => void list.fetchNextPage() : null}
          loadingMore={list.isFetchingNextPage}
        />
      )}
    </div>
  );
}
