import { defaultEvents, type EventName } from "@sendoff/contract";
import { type RetryTerms, type SealedOldSecret, signingAlong } from "./claim.ts";

/** An endpoint as it is at this moment: what it subscribes to, and what an attempt at it needs. */
export interface Subscriber {
  readonly projectId: string;
  readonly endpointId: string;
  readonly events: readonly string[];
  readonly url: string;
  readonly headersSealed: string | null;
  readonly secretSealed: string;
  readonly oldSecrets: readonly SealedOldSecret[];
  readonly timeoutMs: number;
  readonly retries: RetryTerms | null;
  /** Text of its last change: a commit that finds another one does not claim for it. */
  readonly changedAt: string;
}

interface Row extends Omit<Subscriber, "events" | "retries"> {
  readonly events: string[] | null;
  readonly retryAttempts: number | null;
  readonly retryWindowMs: number | null;
}

/**
 * SQL of one JSON value: the endpoints of some projects, for {@link subscribersOf}.
 *
 * @param projectIds SQL of a `uuid[]`.
 */
export const subscribersSql = (projectIds: string): string => `(
  SELECT json_agg(json_build_object('projectId', project_id, 'endpointId', endpoint_id, 'events', events, 'url', url,
    'headersSealed', headers_sealed, 'secretSealed', secret_sealed, 'oldSecrets', ${signingAlong},
    'timeoutMs', timeout_ms, 'retryAttempts', retry_attempts, 'retryWindowMs', retry_window_ms,
    'changedAt', updated_at::text) ORDER BY endpoint_id)
  FROM endpoints WHERE project_id = ANY (${projectIds}) AND removed_at IS NULL)`;

/** The endpoints of projects, by project. Events that are emitted now are owed to those that subscribe now. */
export function subscribersOf(rows: readonly Row[] | null): Map<string, Subscriber[]> {
  const byProject = new Map<string, Subscriber[]>();
  for (const { retryAttempts, retryWindowMs, events, ...row } of rows ?? []) {
    const retries =
      retryAttempts === null || retryWindowMs === null
        ? null
        : { attempts: retryAttempts, windowMs: retryWindowMs };
    const subscriber = { ...row, events: events ?? defaultEvents, retries };
    const those = byProject.get(row.projectId);
    if (those === undefined) byProject.set(row.projectId, [subscriber]);
    else those.push(subscriber);
  }
  return byProject;
}

export const subscribes = (subscriber: Subscriber, event: EventName): boolean =>
  subscriber.events.includes(event);
