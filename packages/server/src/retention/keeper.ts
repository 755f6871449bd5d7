import { type Removed, type RetentionParts, runRetention } from "./round.ts";

/** Runs retention regularly. */
export interface RetentionKeeper {
  /** Ends the round under way between two steps. */
  stop(): Promise<void>;
}

/** Pause between two rounds, in milliseconds. Each process has its own; the lock lets one of them act. */
const roundMs = 10 * 60_000;

/** Begins a round at once and another every ten minutes. */
export function keepRetention(parts: RetentionParts): RetentionKeeper {
  const ending = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let round: Promise<void> = Promise.resolve();

  const begin = (): void => {
    round = runRetention(parts, ending.signal)
      .then((removed) => tell(parts, removed))
      .catch((error: Error) => parts.log.error({ event: "retention.failed", reason: error.message }))
      .finally(() => {
        if (!ending.signal.aborted) timer = setTimeout(begin, roundMs);
      });
  };
  begin();

  return {
    async stop() {
      ending.abort();
      clearTimeout(timer);
      await round;
    },
  };
}

function tell({ log, metrics }: RetentionParts, removed: Removed | null): void {
  if (removed === null || Object.values(removed).every((count) => count === 0)) return;
  metrics.retention.inc({ what: "partitions" }, removed.partitions);
  metrics.retention.inc({ what: "sessions" }, removed.sessions);
  metrics.retention.inc({ what: "events" }, removed.events);
  metrics.retention.inc({ what: "recordings" }, removed.recordings);
  metrics.retention.inc({ what: "inspector_requests" }, removed.inspectorRequests);
  log.info({ event: "retention.removed", ...removed });
}
