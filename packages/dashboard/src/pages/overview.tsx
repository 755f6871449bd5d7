import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { overviewQuery } from "../api/queries.ts";
import type { Overview } from "../api/types.ts";
import { count, length, percent, short } from "../format.ts";
import { EventTag } from "../ui/badge.tsx";
import { buttonClass } from "../ui/button.tsx";
import { Card, PageHead } from "../ui/card.tsx";
import { CopyButton } from "../ui/copy.tsx";
import { Moment } from "../ui/moment.tsx";
import { Empty, ErrorNotice, Loading, Notice } from "../ui/notice.tsx";
import { Chart } from "./overview/chart.tsx";
import { Tile, Tiles } from "./overview/tiles.tsx";
import { WorstEndpoints } from "./overview/worst-endpoints.tsx";

const hour = 3_600_000;

const choices = {
  "1h": { label: "1 hour", ms: hour },
  "6h": { label: "6 hours", ms: 6 * hour },
  "24h": { label: "24 hours", ms: 24 * hour },
  "7d": { label: "7 days", ms: 168 * hour },
  "30d": { label: "30 days", ms: 720 * hour },
} as const;
type Choice = keyof typeof choices;

const isChoice = (text: string | undefined): text is Choice => text !== undefined && text in choices;

export default function OverviewPage(): ReactNode {
  const { projectId } = useParams({ from: "/p/$projectId/" });
  const { span } = useSearch({ from: "/p/$projectId/" });
  const chosen: Choice = isChoice(span) ? span : "1h";
  const navigate = useNavigate({ from: "/p/$projectId/" });
  const overview = useQuery(overviewQuery(projectId, choices[chosen].ms));
  return (
    <>
      <PageHead
        title="Overview"
        note={
          overview.data === undefined ? (
            "What went in, what went out, and how it went."
          ) : (
            <>
              Live, complete up to <Moment at={overview.data.asOf} />.
            </>
          )
        }
        actions={
          <fieldset className="flex rounded-lg border border-line bg-sunken p-0.5">
            <legend className="sr-only">Time shown</legend>
            {(Object.keys(choices) as Choice[]).map((value) => (
              <label
                key={value}
                className="cursor-pointer rounded-md px-2.5 py-1 text-[13px] font-medium text-ink-2 has-checked:bg-surface has-checked:text-ink has-checked:shadow-card has-focus-visible:outline-2 has-focus-visible:outline-accent-fill"
              >
                <input
                  type="radio"
                  name="span"
                  className="sr-only"
                  checked={chosen === value}
                  onChange={() => void navigate({ search: { span: value }, replace: true })}
                />
                {choices[value].label}
              </label>
            ))}
          </fieldset>
        }
      />
      {overview.error !== null && (
        <div className="mb-5">
          <ErrorNotice error={overview.error} retry={() => void overview.refetch()} />
        </div>
      )}
      {overview.data === undefined ? (
        overview.error === null && <Loading what="the numbers" />
      ) : (
        <Numbers projectId={projectId} overview={overview.data} />
      )}
    </>
  );
}

function Numbers({ projectId, overview }: { projectId: string; overview: Overview }): ReactNode {
  const { totals, queue, buckets, bucketSeconds } = overview;
  const minutes = bucketSeconds / 60;
  const times = buckets.map(({ at }) => new Date(at).getTime() / 1_000);
  const perMinute = (of: (bucket: Overview["buckets"][number]) => number) =>
    buckets.map((bucket) => of(bucket) / minutes);
  if (totals.reports === 0 && totals.attempts === 0 && queue.pending === 0)
    return <Nothing projectId={projectId} />;
  const owedBad = totals.failed + totals.unknown;
  return (
    <div className="space-y-5">
      <Tiles>
        <Tile
          name="Success rate"
          value={totals.successRate === null ? "none" : percent(totals.successRate)}
          tone={totals.successRate !== null && totals.successRate < 0.95 ? "bad" : undefined}
        >
          {totals.successRate === null
            ? "nothing settled"
            : `${short(totals.delivered)} ok, ${short(owedBad)} not`}
        </Tile>
        <Tile name="Reports" value={short(totals.reports)}>
          {totals.late === 0 ? "none late" : `${count(totals.late)} late`}
        </Tile>
        <Tile name="Events" value={short(totals.events)}>
          {totals.unsent === 0 ? "all had an endpoint" : `${count(totals.unsent)} went nowhere`}
        </Tile>
        <Tile name="Attempts" value={short(totals.attempts)}>
          {minutes > 0 &&
            `${short(totals.attempts / Math.max(1, (buckets.length * bucketSeconds) / 60))} per minute`}
        </Tile>
        <Tile name="Latency p50" value={totals.p50Ms === null ? "none" : length(totals.p50Ms)}>
          {totals.p95Ms === null ? "" : `p95 ${length(totals.p95Ms)}`}
        </Tile>
        <Tile
          name="Queue age"
          value={length(queue.ageSeconds * 1_000)}
          tone={queue.ageSeconds > 30 ? "warn" : undefined}
        >
          {queue.pending === 0
            ? "nothing waits"
            : `${count(queue.pending)}${queue.pending >= 10_000 ? " or more" : ""} wait`}
        </Tile>
      </Tiles>
      {totals.unknown > 0 && (
        <Notice
          tone="warn"
          action={
            <Link
              to="/p/$projectId/logs"
              params={{ projectId }}
              search={{ outcome: "unknown" }}
              className={buttonClass("plain", true)}
            >
              See them
            </Link>
          }
        >
          {count(totals.unknown)} {totals.unknown === 1 ? "delivery is" : "deliveries are"} unknown: the
          process died during the attempt, and nobody can know whether the endpoint got it.
        </Notice>
      )}
      {totals.unsent > 0 && (
        <Notice
          tone="calm"
          action={
            <Link
              to="/p/$projectId/logs"
              params={{ projectId }}
              search={{ view: "unsent" }}
              className={buttonClass("plain", true)}
            >
              See why
            </Link>
          }
        >
          {count(totals.unsent)} {totals.unsent === 1 ? "event" : "events"} went to no endpoint.
        </Notice>
      )}
      <div className="grid gap-5 lg:grid-cols-2">
        <Card title="Per minute" note="Reports, events and attempts">
          <Chart
            label="Reports, events and attempts per minute"
            times={times}
            lines={[
              { name: "Reports", color: "--event-started", values: perMinute(({ reports }) => reports) },
              { name: "Events", color: "--event-finalized", values: perMinute(({ events }) => events) },
              { name: "Attempts", color: "--event-call", values: perMinute(({ attempts }) => attempts) },
            ]}
            format={short}
          />
        </Card>
        <Card title="Latency of attempts" note="From the attempt's turn to the answer">
          <Chart
            label="Latency of attempts, p50 and p95"
            times={times}
            lines={[
              { name: "p50", color: "--event-ended", values: buckets.map(({ p50Ms }) => p50Ms) },
              { name: "p95", color: "--event-recording", values: buckets.map(({ p95Ms }) => p95Ms) },
            ]}
            format={length}
          />
        </Card>
        <Card title="Deliveries that settled" note="Per minute">
          <Chart
            label="Deliveries per minute by how they settled"
            times={times}
            lines={[
              { name: "Delivered", color: "--ok-fill", values: perMinute(({ delivered }) => delivered) },
              { name: "Failed", color: "--bad-fill", values: perMinute(({ failed }) => failed) },
              { name: "Unknown", color: "--odd-fill", values: perMinute(({ unknown }) => unknown) },
            ]}
            format={short}
          />
        </Card>
        <AfterHangUp overview={overview} />
      </div>
      <WorstEndpoints projectId={projectId} endpoints={overview.worstEndpoints} />
    </div>
  );
}

/** How long after the end of the call the endpoints knew it. */
function AfterHangUp({ overview: { afterHangUp } }: { overview: Overview }): ReactNode {
  const most = Math.max(1, ...afterHangUp.map(({ p95Ms }) => p95Ms ?? 0));
  const share = (ms: number | null): string => `${(Math.log10(1 + (ms ?? 0)) / Math.log10(1 + most)) * 100}%`;
  return (
    <Card flush title="From hang-up to your endpoint" note="Until the endpoint answered 2xx: p50 and p95">
      <table className="w-full text-left">
        <thead className="sr-only">
          <tr>
            <th scope="col">Event</th>
            <th scope="col">Half of them within</th>
            <th scope="col">95 % of them within</th>
          </tr>
        </thead>
        <tbody>
          {afterHangUp.map(({ event, count: number, p50Ms, p95Ms }) => (
            <tr key={event} className="border-b border-line last:border-0">
              <th scope="row" className="px-4 py-2.5 font-normal">
                <EventTag event={event} />
                <span className="relative mt-1.5 block h-1.5 rounded-full bg-sunken" aria-hidden="true">
                  <span
                    className="absolute inset-y-0 left-0 rounded-full bg-accent-fill/30"
                    style={{ width: share(p95Ms) }}
                  />
                  <span
                    className="absolute inset-y-0 left-0 rounded-full bg-accent-fill"
                    style={{ width: share(p50Ms) }}
                  />
                </span>
              </th>
              <td className="numbers w-24 px-2 text-right">{p50Ms === null ? "" : length(p50Ms)}</td>
              <td className="numbers w-24 px-4 text-right text-ink-2" title={`${count(number)} deliveries`}>
                {p95Ms === null ? "" : length(p95Ms)}
              </td>
            </tr>
          ))}
          {afterHangUp.length === 0 && (
            <tr>
              <td className="px-4 py-4 text-ink-3">No event was delivered in this time.</td>
            </tr>
          )}
        </tbody>
      </table>
    </Card>
  );
}

function Nothing({ projectId }: { projectId: string }): ReactNode {
  const command = "npx sendoff simulate";
  return (
    <div className="rounded-xl border border-line bg-surface shadow-card">
      <Empty
        title="Nothing happened in this time"
        action={
          <Link to="/p/$projectId/settings" params={{ projectId }} className={buttonClass("primary")}>
            Set up the webhook
          </Link>
        }
      >
        <p>
          Numbers appear with the first report of a session. To see some at once, let the simulator play
          sessions:
        </p>
        <p className="mt-3 inline-flex items-center gap-1 rounded-md border border-line bg-sunken py-1 pr-1 pl-3 font-mono text-[13px] text-ink">
          {command}
          <CopyButton text={command} what="the command" />
        </p>
      </Empty>
    </div>
  );
}
