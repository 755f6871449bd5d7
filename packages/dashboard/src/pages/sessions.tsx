import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { type ReactNode, useEffect, useMemo, useState } from "react";
import { projectPath, withQuery } from "../api/http.ts";
import { flat, type SessionFilters, sessionsQuery } from "../api/queries.ts";
import type { ListedSession } from "../api/types.ts";
import { callLength, count } from "../format.ts";
import { since, spans } from "../search.ts";
import { Badge, EventDot } from "../ui/badge.tsx";
import { Button, buttonClass } from "../ui/button.tsx";
import { PageHead } from "../ui/card.tsx";
import { Choice } from "../ui/choice.tsx";
import { CopyButton } from "../ui/copy.tsx";
import { inputClass } from "../ui/field.tsx";
import { CallIcon, DownloadIcon, TextIcon } from "../ui/icons.tsx";
import { Moment } from "../ui/moment.tsx";
import { Empty, ErrorNotice, Loading, Notice } from "../ui/notice.tsx";
import { type Column, Table } from "../ui/table.tsx";
import { callStatuses, callStatusWords, stateWords } from "../words.ts";
import { knownEvents } from "./sessions/known-events.ts";

const route = "/p/$projectId/sessions";

export default function SessionsPage(): ReactNode {
  const { projectId } = useParams({ from: "/p/$projectId/sessions" });
  const search = useSearch({ from: "/p/$projectId/sessions" });
  const navigate = useNavigate({ from: route });
  const filters: SessionFilters = useMemo(
    () => ({
      channel: search.channel,
      callStatus: search.callStatus,
      state: search.state,
      text: search.text,
      from: since(search.span),
    }),
    [search],
  );
  const list = useInfiniteQuery({
    ...sessionsQuery(projectId, filters),
    refetchInterval: (query) => ((query.state.data?.pages.length ?? 1) > 1 ? false : 5_000),
  });
  const rows = useMemo(() => flat(list.data), [list.data]);
  const set = (name: string, value: string | undefined) =>
    void navigate({
      search: (before) => ({ ...before, [name]: value === "any" ? undefined : value }),
      replace: true,
    });
  const filtered = Object.values(search).some((value) => value !== undefined);
  const searchedBackTo = list.data?.pages.at(-1)?.searchedBackTo ?? null;
  return (
    <>
      <PageHead
        title="Sessions"
        note="Every call and chat, newest first."
        actions={
          <a
            className={buttonClass("plain")}
            href={withQuery(projectPath(projectId, "/sessions.csv"), filters)}
            download
          >
            <DownloadIcon />
            Export CSV
          </a>
        }
      />
      <search className="mb-4 grid grid-cols-2 gap-2 sm:flex sm:flex-wrap">
        <SearchText text={search.text ?? ""} onSearch={(text) => set("text", text)} />
        <Choice
          label="Channel"
          value={search.channel ?? "any"}
          onChange={(value) => set("channel", value)}
          options={[
            { value: "any", label: "Any channel" },
            { value: "call", label: "Calls", mark: <CallIcon /> },
            { value: "text", label: "Text", mark: <TextIcon /> },
          ]}
        />
        <Choice
          label="State"
          value={search.state ?? "any"}
          onChange={(value) => set("state", value)}
          options={[
            { value: "any", label: "Any state" },
            ...Object.entries(stateWords).map(([value, { label, meaning }]) => ({
              value,
              label,
              note: meaning,
            })),
          ]}
        />
        <Choice
          label="Call status"
          value={search.callStatus ?? "any"}
          onChange={(value) => set("callStatus", value)}
          options={[
            { value: "any", label: "Any call status" },
            ...callStatuses.map((value) => ({ value, label: callStatusWords[value].label, note: value })),
          ]}
        />
        <Choice
          label="Time"
          value={search.span ?? "any"}
          onChange={(value) => set("span", value)}
          options={[
            { value: "any", label: "Any time" },
            ...Object.entries(spans).map(([value, { label }]) => ({ value, label })),
          ]}
        />
        {filtered && (
          <Button kind="quiet" onClick={() => void navigate({ search: {}, replace: true })}>
            Clear
          </Button>
        )}
      </search>
      <div className="overflow-clip rounded-xl border border-line bg-surface shadow-card">
        {list.error !== null && (
          <div className="p-4">
            <ErrorNotice error={list.error} retry={() => void list.refetch()} />
          </div>
        )}
        {list.data === undefined ? (
          list.error === null && <Loading what="the sessions" />
        ) : rows.length === 0 && !list.hasNextPage ? (
          filtered ? (
            <Empty
              title="No session fits these filters"
              action={
                <Button onClick={() => void navigate({ search: {}, replace: true })}>
                  Clear the filters
                </Button>
              }
            >
              Try a longer time, or fewer filters.
            </Empty>
          ) : (
            <NoSessions />
          )
        ) : (
          <Table
            label="Sessions"
            columns={columnsOf(projectId)}
            rows={rows}
            idOf={(session) => session.sessionId}
            onOpen={({ sessionId }) =>
              void navigate({ to: "/p/$projectId/sessions/$sessionId", params: { projectId, sessionId } })
            }
            more={list.hasNextPage ? () => void list.fetchNextPage() : null}
            loadingMore={list.isFetchingNextPage}
          />
        )}
        {searchedBackTo !== null && (
          <div className="border-t border-line p-3">
            <Notice tone="calm">
              Searched back to <Moment at={searchedBackTo} />. The search goes on with the next page.
            </Notice>
          </div>
        )}
      </div>
    </>
  );
}

/** Searches when the writing has paused. */
function SearchText({
  text,
  onSearch,
}: {
  text: string;
  onSearch: (text: string | undefined) => void;
}): ReactNode {
  const [written, setWritten] = useState(text);
  const wanted = written.trim();
  // biome-ignore lint/correctness/useExhaustiveDependencies: only what is written starts the clock again
  useEffect(() => {
    if (wanted === text) return;
    const clock = setTimeout(() => onSearch(wanted === "" ? undefined : wanted), 300);
    return () => clearTimeout(clock);
  }, [wanted]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the address changed by other means, such as Clear
  useEffect(() => {
    if (text !== wanted) setWritten(text);
  }, [text]);
  return (
    <input
      type="search"
      aria-label="Search in ids and variables"
      placeholder="Search in ids and variables"
      maxLength={200}
      value={written}
      onChange={(event) => setWritten(event.target.value)}
      className={`${inputClass} col-span-2 sm:w-72`}
    />
  );
}

const columnsOf = (projectId: string): Column<ListedSession>[] => [
  {
    name: "Session",
    className: "w-full sm:w-[34%]",
    cell: (session) => (
      <span className="flex min-w-0 items-center gap-2.5">
        <span className="text-ink-3" title={session.channel ?? "channel not known yet"}>
          {session.channel === "text" ? (
            <TextIcon />
          ) : (
            <CallIcon className={`size-4 ${session.channel === null ? "opacity-30" : ""}`} />
          )}
          <span className="sr-only">{session.channel ?? "unknown channel"}</span>
        </span>
        <span className="min-w-0 flex-1">
          <Link
            to="/p/$projectId/sessions/$sessionId"
            params={{ projectId, sessionId: session.sessionId }}
            className="foreign block truncate rounded font-mono text-[12.5px] font-medium hover:underline"
          >
            {session.sessionId}
          </Link>
          <span className="flex items-center gap-2 text-[12.5px] text-ink-3 sm:hidden">
            <Status session={session} />
            <Dots session={session} />
            <Moment at={session.createdAt} className="ml-auto" />
          </span>
        </span>
      </span>
    ),
  },
  { name: "Status", className: "max-sm:hidden sm:w-[19%]", cell: (session) => <Status session={session} /> },
  {
    name: "Last node",
    className: "max-lg:hidden lg:w-[15%]",
    cell: ({ currentNodeId }) => (
      <span dir="auto" className="foreign block truncate font-mono text-xs text-ink-2">
        {currentNodeId.slice(0, 120)}
      </span>
    ),
  },
  {
    name: "Messages",
    className: "max-lg:hidden text-right lg:w-[9%]",
    cell: ({ messagesCount }) => <span className="numbers text-ink-2">{count(messagesCount)}</span>,
  },
  {
    name: "Duration",
    className: "max-md:hidden text-right md:w-[11%]",
    cell: ({ callDuration }) => (
      <span className="numbers whitespace-nowrap text-ink-2">
        {callDuration === null ? "" : callLength(callDuration)}
      </span>
    ),
  },
  {
    name: "Events",
    className: "max-sm:hidden pl-6 sm:w-[13%]",
    cell: (session) => <Dots session={session} />,
  },
  {
    name: "Created",
    className: "max-sm:hidden text-right sm:w-[16%]",
    cell: ({ createdAt }) => <Moment at={createdAt} className="text-ink-2" />,
  },
];

function Status({ session: { state, callStatus, erasedAt } }: { session: ListedSession }): ReactNode {
  if (erasedAt !== null) return <Badge tone="calm">Erased</Badge>;
  if (state !== "finalized") {
    return (
      <Badge tone={stateWords[state].tone} title={stateWords[state].meaning}>
        {stateWords[state].label}
      </Badge>
    );
  }
  if (callStatus === null) return <Badge tone="ok">Finalized</Badge>;
  const { label, tone } = callStatusWords[callStatus];
  return (
    <Badge tone={tone} title={callStatus}>
      {label}
    </Badge>
  );
}

/** One dot for each event that the session has or will have; hollow ones are not there yet. */
function Dots({ session }: { session: ListedSession }): ReactNode {
  const events = knownEvents(session);
  const there = events.filter(({ emitted }) => emitted).map(({ event }) => event);
  return (
    <span
      className="inline-flex items-center gap-1"
      title={there.length === 0 ? "No event yet" : there.join(", ")}
    >
      {events.map(({ event, emitted }) => (
        <EventDot key={event} event={event} hollow={!emitted} />
      ))}
      <span className="sr-only">{there.length === 0 ? "no event yet" : there.join(", ")}</span>
    </span>
  );
}

function NoSessions(): ReactNode {
  const command = "npx sendoff simulate";
  return (
    <Empty title="No session yet">
      <p>
        A session appears with the first report of it. Report one over the API, or let the simulator play
        some:
      </p>
      <p className="mt-3 inline-flex items-center gap-1 rounded-md border border-line bg-sunken py-1 pr-1 pl-3 font-mono text-[13px] text-ink">
        {command}
        <CopyButton text={command} what="the command" />
      </p>
    </Empty>
  );
}
