import { defaultEvents, type EventName } from "@sendoff/contract";
import type pg from "pg";
import { type RetryTerms, signingAlong } from "./claim.ts";

/** An endpoint as it is at this moment: what it subscribes to, and what an attempt at it needs. */
export interface Subscriber {
  readonly projectId: string;
  readonly endpointId: string;
  readonly events: readonly string[];
  readonly url: string;
  readonly headersSealed: string | null;
  readonly secretSealed: string;
  readonly oldSecretsSealed: readonly string[];
  readonly timeoutMs: number;
  readonly retries: RetryTerms | null;
  /** Text of its last change: a commit that finds another one does not claim for it. */
  readonly changedAt: string;
}

type Row = Omit<Subscriber, "events" | "retries"> & {
  readonly events: string[] | null;
  readonly retryAttempts: number | null;
  readonly retryWindowMs: number | null;
};

const subscribersSql = `
  SELECT project_id AS "projectId", endpoint_id AS "endpointId", events, url, headers_sealed AS "headersSealed",
    secret_sealed AS "secretSealed", ${signingAlong} AS "oldSecretsSealed", timeout_ms AS "timeoutMs",
    retry_attempts AS "retryAttempts", retry_window_ms AS "retryWindowMs", updated_at::text AS "changedAt"
  FROM endpoints WHERE project_id = ANY ($1::uuid[]) AND removed_at IS NULL
  ORDER BY endpoint_id`;

/** The endpoints of projects, by project. Events that are emitted now are owed to those that subscribe now. */
export async function readSubscribers(
  pool: pg.Pool,
  projectIds: readonly string[],
): Promise<Map<string, Subscriber[]>> {
  const { rows } = await pool.query<Row>({
    name: "endpoint-subscribers",
    text: subscribersSql,
    values: [[...new Set(projectIds)]],
  });
  const byProject = new Map<string, Subscriber[]>();
  for (const { retryAttempts, retryWindowMs, events, ...row } of rows) {
    const retries =
      retryAttempts === null || retryWindowMs === null
        ? null
        : { attempts: retryAttempts, windowMs: retryWindowMs };
    const subscriber = { ...row, events: events ?? defaultEvents, retries };
    byProject.set(row.projectId, [...(byProject.get(row.projectId) ?? []), subscriber]);
  }
  return byProject;
}

export const subscribes = (subscriber: Subscriber, event: EventName): boolean =>
  subscriber.events.includes(event);
