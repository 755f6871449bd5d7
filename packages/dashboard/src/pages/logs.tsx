import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { lazy, type ReactNode, Suspense, useMemo, useState } from "react";
import { endpointsQuery, flat, type LogFilters, logsQuery } from "../api/queries.ts";
import type { WebhookLog } from "../api/types.ts";
import { length } from "../format.ts";
import { listed, since, spans } from "../search.ts";
import { EventDot, EventTag, OutcomeBadge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { PageHead } from "../ui/card.tsx";
import { Choice, Choices } from "../ui/choice.tsx";
import { CopyButton } from "../ui/copy.tsx";
import { inputClass } from "../ui/field.tsx";
import { ResendIcon } from "../ui/icons.tsx";
import { Moment } from "../ui/moment.tsx";
import { Empty, ErrorNotice, Loading } from "../ui/notice.tsx";
import { type Column, Table } from "../ui/table.tsx";
import { eventNames, eventWords, outcomes, outcomeWords, triggerWords } from "../words.ts";
import { Unsent } from "./logs/unsent.tsx";
import { useTail } from "./logs/use-tail.ts";

const AttemptSheet = lazy(() => import("./logs/attempt-sheet.tsx"));
const ResendAll = lazy(() => import("./logs/resend-all.tsx"));

export default function LogsPage(): ReactNode {
  const { projectId } = useParams({ from: "/p/$projectId/logs" });
  const search = useSearch({ from: "/p/$projectId/logs" });
  const navigate = useNavigate({ from: "/p/$projectId/logs" });
  const unsent = search.view === "unsent";
  const tab = (view: string | undefined, label: string) => (
    <button
      type="button"
      aria-pressed={search.view === view}
      onClick={() => void navigate({ search: { view } })}
      className="border-b-2 border-transparent px-1 pb-2 font-medium text-ink-2 hover:text-ink aria-pressed:border-accent-fill aria-pressed:text-ink"
    >
      {label}
    </button>
  );
  return (
    <>
      <PageHead title="Webhook logs" note="Every attempt, with what was sent and what came back." />
      <div className="mb-4 flex gap-5 border-b border-line">
        {tab(undefined, "Attempts")}
        {tab("unsent", "Events that went nowhere")}
      </div>
      {unsent ? <Unsent projectId={projectId} /> : <Attempts projectId={projectId} />}
    </>
  );
}

function Attempts({ projectId }: { projectId: string }): ReactNode {
  const search = useSearch({ from: "/p/$projectId/logs" });
  const navigate = useNavigate({ from: "/p/$projectId/logs" });
  const client = useQueryClient();
  const [resending, setResending] = useState(false);
  const endpoints = useQuery(endpointsQuery(projectId));
  const filters: LogFilters = useMemo(
    () => ({
      outcome: listed(search.outcome, outcomes).join(","),
      event: listed(search.event, eventNames).join(","),
      endpointId: search.endpointId,
      sessionId: search.sessionId,
      from: since(search.span),
    }),
    [search.outcome, search.event, search.endpointId, search.sessionId, search.span],
  );
  const [live, setLive] = useState(true);
  const list = useInfiniteQuery(logsQuery(projectId, filters));
  const tail = useTail(projectId, filters, live);
  const rows = useMemo(() => {
    const listed = flat(list.data);
    const known = new Set(listed.map(({ id }) => id));
    return [...tail.rows.filter(({ id }) => !known.has(id)), ...listed];
  }, [list.data, tail.rows]);
  const set = (name: string, value: string | undefined) =>
    void navigate({
      search: (before) => ({ ...before, [name]: value === "any" || value === "" ? undefined : value }),
      replace: true,
      resetScroll: false,
    });
  const { outcome, event, endpointId, sessionId, span } = search;
  const filtered = [outcome, event, endpointId, sessionId, span].some((value) => value !== undefined);
  const clear = () => void navigate({ search: {}, replace: true });
  return (
    <>
      <search className="mb-4 grid grid-cols-2 gap-2 sm:flex sm:flex-wrap">
        <Choices
          label="Outcome"
          values={listed(outcome, outcomes)}
          onChange={(values) => set("outcome", values.join(","))}
          options={outcomes.map((value) => ({
            value,
            label: outcomeWords[value].label,
            note: outcomeWords[value].meaning,
          }))}
        />
        <Choices
          label="Event"
          values={listed(event, eventNames)}
          onChange={(values) => set("event", values.join(","))}
          options={eventNames.map((value) => ({
            value,
            label: value,
            mark: <EventDot event={value} />,
            note: eventWords[value].meaning,
          }))}
        />
        <Choice
          label="Endpoint"
          className="sm:max-w-64"
          value={endpointId ?? "any"}
          onChange={(value) => set("endpointId", value)}
          options={[
            { value: "any", label: "Any endpoint" },
            ...(endpoints.data ?? []).map((one) => ({
              value: one.endpointId,
              label: one.url.slice(0, 90),
              note: `${one.kind === "agent" ? "The agent's webhook" : "Project webhook"}${one.removedAt === null ? "" : ", removed"}`,
            })),
          ]}
        />
        <SessionFilter value={sessionId ?? ""} onChange={(value) => set("sessionId", value)} />
        <Choice
          label="Time"
          value={span ?? "any"}
          onChange={(value) => set("span", value)}
          options={[
            { value: "any", label: "Any time" },
            ...Object.entries(spans).map(([value, { label }]) => ({ value, label })),
          ]}
        />
        {filtered && (
          <Button kind="quiet" onClick={clear}>
            Clear
          </Button>
        )}
      </search>
      <div className="overflow-clip rounded-xl border border-line bg-surface shadow-card">
        <div className="flex items-center gap-2 border-b border-line px-4 py-2">
          <Button small aria-pressed={live} onClick={() => setLive(!live)}>
            <span
              aria-hidden="true"
              className={`size-2 rounded-full ${tail.state === "open" ? "animate-breathe bg-ok-fill" : "bg-line-strong"}`}
            />
            {live ? "Live" : "Paused"}
          </Button>
          <span role="status" className="min-w-0 flex-1 truncate text-[13px] text-ink-3">
            {tail.state === "open"
              ? tail.rows.length === 0
                ? "New attempts appear here as they are made."
                : `${tail.rows.length} came while you watch.`
              : tail.state === "broken"
                ? "The live stream broke and is tried again."
                : ""}
          </span>
          <Button small onClick={() => setResending(true)} disabled={rows.length === 0}>
            <ResendIcon className="size-3.5" />
            <span>Resend all</span>
          </Button>
        </div>
        {list.error !== null && (
          <div className="p-4">
            <ErrorNotice error={list.error} retry={() => void list.refetch()} />
          </div>
        )}
        {list.data === undefined ? (
          list.error === null && <Loading what="the attempts" />
        ) : rows.length === 0 ? (
          filtered ? (
            <Empty
              title="No attempt fits these filters"
              action={<Button onClick={clear}>Clear the filters</Button>}
            >
              Try a longer time, or fewer filters.
            </Empty>
          ) : (
            <NoAttempts />
          )
        ) : (
          <Table
            label="Attempts"
            columns={columns((id) => set("log", id))}
            rows={rows}
            idOf={({ id }) => id}
            isChosen={({ id }) => id === search.log}
            onOpen={({ id }) => set("log", id)}
            more={list.hasNextPage ? () => void list.fetchNextPage() : null}
            loadingMore={list.isFetchingNextPage}
          />
        )}
      </div>
      <Suspense fallback={null}>
        {search.log !== undefined && (
          <AttemptSheet
            projectId={projectId}
            logId={search.log}
            onClose={() => set("log", undefined)}
            onShow={(id) => set("log", id)}
            onResent={() => void client.invalidateQueries({ queryKey: ["logs", projectId] })}
          />
        )}
        {resending && (
          <ResendAll
            projectId={projectId}
            filters={filters}
            filtered={filtered}
            onClose={() => setResending(false)}
          />
        )}
      </Suspense>
    </>
  );
}

function SessionFilter({
  value,
  onChange,
}: {
  value: string;
  onChange: (value: string | undefined) => void;
}): ReactNode {
  const [written, setWritten] = useState(value);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onChange(written.trim());
      }}
    >
      <input
        key={value}
        aria-label="Session id"
        placeholder="Session id"
        defaultValue={value}
        maxLength={128}
        onChange={(event) => setWritten(event.target.value)}
        onBlur={() => written.trim() !== value && onChange(written.trim())}
        className={`${inputClass} font-mono text-[13px] sm:w-44`}
      />
    </form>
  );
}

const columns = (open: (id: string) => void): Column<WebhookLog>[] => [
  {
    name: "Event",
    className: "w-full sm:w-[24%]",
    cell: (log) => (
      <>
        <button
          type="button"
          className="max-w-full truncate rounded text-left hover:underline"
          onClick={() => open(log.id)}
        >
          <EventTag event={log.event} />
        </button>
        <span className="mt-0.5 flex items-center gap-2 text-[12.5px] text-ink-3 sm:hidden">
          <OutcomeBadge outcome={log.outcome} status={log.responseStatus} />
          <span className="foreign min-w-0 flex-1 truncate font-mono text-xs">{log.sessionId}</span>
          <Moment at={log.attemptedAt} />
        </span>
      </>
    ),
  },
  {
    name: "Outcome",
    className: "max-sm:hidden sm:w-[17%]",
    cell: ({ outcome, responseStatus }) => <OutcomeBadge outcome={outcome} status={responseStatus} />,
  },
  {
    name: "Session",
    className: "max-md:hidden md:w-[20%]",
    cell: ({ sessionId }) => (
      <span className="foreign block truncate font-mono text-xs text-ink-2">{sessionId}</span>
    ),
  },
  {
    name: "Endpoint",
    className: "max-lg:hidden lg:w-[20%]",
    cell: ({ url }) => (
      <span className="foreign block truncate font-mono text-xs text-ink-2" title={url}>
        {url.replace(/^https?:\/\//, "").slice(0, 120)}
      </span>
    ),
  },
  {
    name: "Attempt",
    className: "max-lg:hidden lg:w-[9%]",
    cell: ({ attempt, trigger }) => (
      <span className="numbers whitespace-nowrap text-ink-2">
        {attempt}
        {trigger !== "live" && <span className="text-ink-3"> {triggerWords[trigger].toLowerCase()}</span>}
      </span>
    ),
  },
  {
    name: "Took",
    className: "max-sm:hidden text-right sm:w-[9%]",
    cell: ({ durationMs }) => (
      <span className="numbers whitespace-nowrap text-ink-2">
        {durationMs === null ? "" : length(durationMs)}
      </span>
    ),
  },
  {
    name: "Time",
    className: "max-sm:hidden text-right sm:w-[15%]",
    cell: ({ attemptedAt }) => <Moment at={attemptedAt} className="text-ink-2" />,
  },
];

function NoAttempts(): ReactNode {
  const command = "npx sendoff simulate";
  return (
    <Empty title="No attempt yet">
      <p>
        An attempt is made when a session has an event that a webhook subscribes to. Set up a webhook in
        Settings, then report a session or let the simulator play some:
      </p>
      <p className="mt-3 inline-flex items-center gap-1 rounded-md border border-line bg-sunken py-1 pr-1 pl-3 font-mono text-[13px] text-ink">
        {command}
        <CopyButton text={command} what="the command" />
      </p>
    </Empty>
  );
}
