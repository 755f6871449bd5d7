import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { type ReactNode, useMemo } from "react";
import { flat, inspectorQuery } from "../api/queries.ts";
import type { EventName, ProjectInspectedRequest } from "../api/types.ts";
import { Badge, EventTag } from "../ui/badge.tsx";
import { Body } from "../ui/body.tsx";
import { Button, buttonClass } from "../ui/button.tsx";
import { Card, PageHead } from "../ui/card.tsx";
import { CopyButton } from "../ui/copy.tsx";
import { Moment } from "../ui/moment.tsx";
import { Empty, ErrorNotice, Loading } from "../ui/notice.tsx";
import { Scroller } from "../ui/scroller.tsx";
import { eventNames, eventWords } from "../words.ts";
import { Snippet } from "./inspector/snippet.tsx";
import { useArrivals } from "./inspector/use-arrivals.ts";
import { HeaderList } from "./logs/attempt-sheet.tsx";

const signatures = {
  valid: { tone: "ok", label: "Signature valid" },
  invalid: { tone: "bad", label: "Signature invalid" },
  none: { tone: "calm", label: "Not signed" },
} as const;

export default function InspectorPage(): ReactNode {
  const { projectId } = useParams({ from: "/p/$projectId/inspector" });
  const { request } = useSearch({ from: "/p/$projectId/inspector" });
  const navigate = useNavigate({ from: "/p/$projectId/inspector" });
  const list = useInfiniteQuery(inspectorQuery(projectId));
  const arrived = useArrivals(projectId, list.data);
  const rows = useMemo(() => {
    const listed = flat(list.data);
    const known = new Set(listed.map(({ id }) => id));
    return [...arrived.filter(({ id }) => !known.has(id)), ...listed];
  }, [list.data, arrived]);
  const chosen = rows.find(({ id }) => id === request) ?? rows[0];
  const event = chosen === undefined ? null : eventOf(chosen);
  return (
    <>
      <PageHead title="Inspector" note="What arrives at the built-in endpoint, live." />
      {list.error !== null && (
        <div className="mb-4">
          <ErrorNotice error={list.error} retry={() => void list.refetch()} />
        </div>
      )}
      {list.data === undefined ? (
        list.error === null && <Loading what="the requests" />
      ) : chosen === undefined ? (
        <div className="rounded-xl border border-line bg-surface shadow-card">
          <Nothing projectId={projectId} />
        </div>
      ) : (
        <div className="grid items-start gap-5 lg:grid-cols-[20rem_minmax(0,1fr)]">
          <Card
            flush
            title="Requests"
            actions={
              <span className="inline-flex items-center gap-1.5 text-[13px] text-ink-3">
                <span aria-hidden="true" className="size-2 animate-breathe rounded-full bg-ok-fill" />
                Live
              </span>
            }
          >
            <Scroller label="Requests" className="max-h-64 overflow-y-auto lg:max-h-[calc(100dvh-12rem)]">
              <ul>
                {rows.map((row) => (
                  <RequestItem
                    key={row.id}
                    row={row}
                    chosen={row.id === chosen.id}
                    onChoose={() =>
                      void navigate({ search: { request: row.id }, replace: true, resetScroll: false })
                    }
                  />
                ))}
              </ul>
              {list.hasNextPage && (
                <div className="p-2 text-center">
                  <Button
                    small
                    busy={list.isFetchingNextPage && "Loading more ..."}
                    onClick={() => void list.fetchNextPage()}
                  >
                    Show more
                  </Button>
                </div>
              )}
            </Scroller>
          </Card>
          <div className="min-w-0 space-y-5">
            <Card
              flush
              title={event === null ? "Request" : <EventTag event={event} />}
              note={<Moment at={chosen.receivedAt} />}
              actions={
                <Badge tone={signatures[chosen.signature].tone}>{signatures[chosen.signature].label}</Badge>
              }
            >
              <HeaderList
                headers={Object.entries(chosen.headers).map(([name, value]) => ({ name, value }))}
              />
              <Body key={chosen.id} text={chosen.body} what="Body of the request" none="It had no body." />
            </Card>
            <Snippet event={event} />
          </div>
        </div>
      )}
    </>
  );
}

interface RequestItemProps {
  readonly row: ProjectInspectedRequest;
  readonly chosen: boolean;
  readonly onChoose: () => void;
}

function RequestItem({ row, chosen, onChoose }: RequestItemProps): ReactNode {
  const event = eventOf(row);
  return (
    <li className="border-b border-line last:border-0">
      <button
        type="button"
        aria-current={chosen}
        onClick={onChoose}
        className="w-full px-4 py-2 text-left -outline-offset-2 hover:bg-sunken aria-[current=true]:bg-accent-soft"
      >
        <span className="flex items-center gap-2">
          <span className="min-w-0 flex-1 truncate">
            {event === null ? <span className="text-ink-2">Not an event</span> : <EventTag event={event} />}
          </span>
          <Moment at={row.receivedAt} className="text-[12.5px] text-ink-3" />
        </span>
        <span className="mt-0.5 flex items-center gap-2 text-[12.5px]">
          <span
            className={
              row.signature === "valid" ? "text-ok" : row.signature === "invalid" ? "text-bad" : "text-ink-3"
            }
          >
            {signatures[row.signature].label}
          </span>
          <span className="foreign min-w-0 flex-1 truncate text-right font-mono text-xs text-ink-3">
            {sessionOf(row)}
          </span>
        </span>
      </button>
    </li>
  );
}

const memberOf = ({ body }: ProjectInspectedRequest, name: string): string | null =>
  // A body of a megabyte is not read whole for each row: our own bodies begin with both members.
  new RegExp(`"${name}":"([^"\\\\]{1,128})"`).exec(body.slice(0, 400))?.[1] ?? null;

function eventOf(row: ProjectInspectedRequest): EventName | null {
  const name = memberOf(row, "event");
  return eventNames.find((event) => event === name && event in eventWords) ?? null;
}

const sessionOf = (row: ProjectInspectedRequest): string => memberOf(row, "sessionId") ?? "";

function Nothing({ projectId }: { projectId: string }): ReactNode {
  const command = "npx sendoff simulate";
  return (
    <Empty
      title="Nothing has arrived yet"
      action={
        <Link to="/p/$projectId/settings" params={{ projectId }} className={buttonClass("plain")}>
          See where the webhook leads
        </Link>
      }
    >
      <p>
        The first project's webhook leads here until you set your own. Send a test event in Settings, or let
        the simulator play sessions:
      </p>
      <p className="mt-3 inline-flex items-center gap-1 rounded-md border border-line bg-sunken py-1 pr-1 pl-3 font-mono text-[13px] text-ink">
        {command}
        <CopyButton text={command} what="the command" />
      </p>
    </Empty>
  );
}
