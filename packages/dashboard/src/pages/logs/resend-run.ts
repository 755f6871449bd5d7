import { ApiError, call } from "../../api/http.ts";
import { type LogFilters, logsPath, type Page } from "../../api/queries.ts";
import type { Resend, WebhookLog } from "../../api/types.ts";

export interface Progress {
  /** Deliveries that were found so far. */
  readonly found: number;
  /** No more will be found. */
  readonly complete: boolean;
  readonly resent: number;
  /** Under way already, erased, or of an endpoint that is gone. */
  readonly skipped: number;
  readonly failed: number;
  readonly lastError: string | null;
}

const pageSize = 200;
/** Few at a time: what is sent live goes first. */
const atOnce = 4;
/** Answers that say that there is nothing to resend. */
const nothingToResend = new Set([
  "endpoint_removed",
  "session_erased",
  "delivery_under_way",
  "test_not_resent",
]);

/**
 * Resends each delivery that has a row of the filter, once. Rows that come meanwhile, those of the resends among them,
 * are not looked at: the list is read up to now, before which nothing is added.
 *
 * @throws ApiError when the list can't be read.
 */
export async function resendAll(
  projectId: string,
  filters: LogFilters,
  report: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<void> {
  const path = logsPath(projectId);
  const to = new Date().toISOString();
  const seen = new Set<string>();
  let progress: Progress = { found: 0, complete: false, resent: 0, skipped: 0, failed: 0, lastError: null };
  const update = (change: Partial<Progress>) => {
    progress = { ...progress, ...change };
    report(progress);
  };
  const resend = async (log: WebhookLog): Promise<void> => {
    try {
      const { data } = await call<{ data: Resend }>("POST", `${path}/${encodeURIComponent(log.id)}/resend`, {
        signal,
      });
      update(data.duplicate ? { skipped: progress.skipped + 1 } : { resent: progress.resent + 1 });
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && nothingToResend.has(error.code))
        update({ skipped: progress.skipped + 1 });
      else
        update({
          failed: progress.failed + 1,
          lastError: error instanceof Error ? error.message : String(error),
        });
    }
  };
  let cursor: string | null = null;
  do {
    const page: Page<WebhookLog> = await call<Page<WebhookLog>>("GET", path, {
      query: { ...filters, to, limit: pageSize, cursor: cursor ?? undefined },
      signal,
    });
    const fresh = page.data.filter(({ trigger, sessionId, event, endpointId }) => {
      const key = `${sessionId} ${event} ${endpointId}`;
      if (trigger === "test" || seen.has(key)) return false;
      seen.add(key);
      return true;
    });
    cursor = page.nextCursor;
    update({ found: progress.found + fresh.length, complete: cursor === null });
    const waiting = [...fresh];
    const work = async (): Promise<void> => {
      for (let log = waiting.shift(); log !== undefined && !signal.aborted; log = waiting.shift())
        await resend(log);
    };
    await Promise.all(Array.from({ length: atOnce }, work));
  } while (cursor !== null && !signal.aborted);
}
