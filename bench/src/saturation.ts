// What every benchmark at saturation needs: a load without a pause, a window in which rates and processor time are read,
// the reference, and the count that nothing was lost.
import type pg from "pg";
import { type Project, textConversation } from "./endpoints.ts";
import { type Flood, startFlood } from "./flood.ts";
import type { FloodPlan } from "./flood-messages.ts";
import { cpuMsOf } from "./proc.ts";
import type { Scope } from "./scope.ts";
import type { Sink } from "./sink.ts";
import { nowNs, sleep, until } from "./time.ts";

/** Reports that are under way at a time: with half as many the processors were idle for a quarter of the time. */
export const loadConnections = 256;
/** Endpoints that they are for: with fewer, what may be in flight to one of them is the limit, not the processors. */
export const loadEndpoints = 16;
/** Connections of the reference: more of them are slower. */
const referenceConnections = 64;
const referenceWarmUpMs = 1_000;
const drainLimitMs = 120_000;

/** Process ids by what they are part of, such as "server". */
export type Parts<Part extends string> = Readonly<Record<Part, readonly number[]>>;

/** Rates of a stretch of time, and what each delivery cost. */
export interface Window<Part extends string> {
  readonly acceptedPerSecond: number;
  readonly deliveredPerSecond: number;
  /** Reports that were not answered 2xx. */
  readonly refused: number;
  /** Processor time per delivery, in microseconds. */
  readonly cpuUs: Readonly<Record<Part, number>>;
}

/** Requests of a process that does nothing but POST, straight to the sink, per second. */
export async function measureReference(
  scope: Scope,
  sink: Sink,
  port: number,
  seconds: number,
): Promise<number> {
  const flood = await startFlood(scope, {
    origin: `http://127.0.0.1:${port}`,
    connections: referenceConnections,
    requests: [{ path: "/", headers: ["content-type", "application/json"], body: "x".repeat(400) }],
  });
  await sleep(referenceWarmUpMs);
  const before = await sink.counted();
  const beganNs = nowNs();
  await sleep(seconds * 1_000);
  const perSecond = (((await sink.counted()) - before) * 1e9) / (nowNs() - beganNs);
  await flood.end();
  return Math.round(perSecond);
}

/**
 * Reports that end text sessions, each of which owes one delivery to a webhook with session.ended alone.
 *
 * @param prefix begins the ids of the sessions, which must be new.
 */
export function reportsTo(
  apiUrl: string,
  projects: readonly Project[],
  prefix: string,
  connections = loadConnections,
): FloodPlan {
  const body = JSON.stringify(textConversation);
  return {
    origin: apiUrl,
    connections,
    requests: projects.map(({ id, key }) => ({
      path: `/v1/projects/${id}/sessions/${prefix}-{n}/conversation-ended`,
      headers: ["authorization", `Bearer ${key}`, "content-type", "application/json"],
      body,
    })),
  };
}

/** Watches a load that is running. */
export async function measureWindow<Part extends string>(
  sink: Sink,
  floods: readonly Flood[],
  parts: Parts<Part>,
  seconds: number,
): Promise<Window<Part>> {
  const look = async () => ({
    atNs: nowNs(),
    arrived: await sink.counted(),
    flooded: await Promise.all(floods.map((flood) => flood.count())),
    cpuMs: cpuOf(parts),
  });
  const before = await look();
  await sleep(seconds * 1_000);
  const after = await look();
  const perSecond = (count: number): number => Math.round((count * 1e9) / (after.atNs - before.atNs));
  const grown = (key: "accepted" | "refused" | "unanswered"): number =>
    after.flooded.reduce(
      (sum, flooded, index) => sum + flooded[key] - (before.flooded[index]?.[key] ?? 0),
      0,
    );
  const delivered = after.arrived - before.arrived;
  return {
    acceptedPerSecond: perSecond(grown("accepted")),
    deliveredPerSecond: perSecond(delivered),
    refused: grown("refused") + grown("unanswered"),
    cpuUs: perDelivery(before.cpuMs, after.cpuMs, delivered),
  };
}

/** Processor time that each part has used so far, in milliseconds. */
export function cpuOf<Part extends string>(parts: Parts<Part>): Record<Part, number> {
  const entries = (Object.entries(parts) as Array<[Part, readonly number[]]>).map(
    ([part, pids]) => [part, pids.reduce((sum, pid) => sum + cpuMsOf(pid), 0)] as const,
  );
  return Object.fromEntries(entries) as Record<Part, number>;
}

/** Processor time between two moments, per delivery, in microseconds. */
export function perDelivery<Part extends string>(
  beforeMs: Record<Part, number>,
  afterMs: Record<Part, number>,
  deliveries: number,
): Record<Part, number> {
  const entries = (Object.keys(afterMs) as Part[]).map(
    (part) => [part, Math.round(((afterMs[part] - beforeMs[part]) * 1_000) / deliveries)] as const,
  );
  return Object.fromEntries(entries) as Record<Part, number>;
}

/** The sum over all parts. */
export const totalCpu = (cpuUs: Readonly<Record<string, number>>): number =>
  Object.values(cpuUs).reduce((sum, us) => sum + us, 0);

const endpointsOf = (projects: readonly Project[]): string[] => projects.map(({ endpointId }) => endpointId);

/**
 * Waits until nothing is owed to the endpoints of these projects.
 *
 * @throws Error that tells what is left when that takes longer than two minutes.
 */
export async function drained(database: pg.Pool, projects: readonly Project[]): Promise<void> {
  const endpoints = endpointsOf(projects);
  try {
    await until("every delivery is settled", drainLimitMs, async () => {
      const { rowCount } = await database.query(
        "SELECT FROM deliveries WHERE endpoint_id = ANY ($1::uuid[]) LIMIT 1",
        [endpoints],
      );
      return rowCount === 0;
    });
  } catch (error) {
    const { rows } = await database.query<{ left: string }>(
      `SELECT count(*) || ' ' || state || ', attempts ' || attempts || ', due from ' || min(due_at) || ' to ' ||
         max(due_at) || ', leased until ' || coalesce(max(lease_until)::text, '-') || '; now ' || now() AS left
       FROM deliveries WHERE endpoint_id = ANY ($1::uuid[]) GROUP BY state, attempts`,
      [endpoints],
    );
    throw new Error(`${(error as Error).message} Left: ${rows.map(({ left }) => left).join(" | ")}`);
  }
}

/** Rows that webhook_logs has for these projects' endpoints. */
export async function countLogged(database: pg.Pool, projects: readonly Project[]): Promise<number> {
  const { rows } = await database.query<{ logged: string }>(
    "SELECT count(*) AS logged FROM webhook_logs WHERE endpoint_id = ANY ($1::uuid[])",
    [endpointsOf(projects)],
  );
  return Number(rows[0]?.logged);
}

/** Rows of webhook_logs by outcome, for these projects' endpoints, as text: says which rows a difference is made of. */
export async function describeLogged(database: pg.Pool, projects: readonly Project[]): Promise<string> {
  const { rows } = await database.query<{ outcome: string; rows: string }>(
    `SELECT outcome, count(*) AS rows FROM webhook_logs WHERE endpoint_id = ANY ($1::uuid[])
     GROUP BY outcome ORDER BY outcome`,
    [endpointsOf(projects)],
  );
  return rows.map(({ outcome, rows }) => `${outcome} ${rows}`).join(", ");
}
