import { isUnavailable } from "../database/unavailable.ts";
import type { Logger } from "../log.ts";
import type { Hint } from "../outbox/hint.ts";
import { Refusal } from "../refusal.ts";
import type { Applied, Group, Waiting } from "./batch.ts";
import type { Graces } from "./deadline.ts";
import { decideBatch } from "./decide.ts";
import { IntakeQueue, type QueueBounds } from "./intake-queue.ts";
import { createRefusalShare, type RefusalShare } from "./refusal-share.ts";
import type { Report } from "./session.ts";
import { type WriteParts, writeBatch } from "./write.ts";

/** Takes reports and answers each when it is committed. */
export interface ReportIntake {
  /**
   * @throws Refusal when the report contradicts what is stored, when too many wait, when PostgreSQL does not answer or
   * while the process drains. After the last three the report may be sent again: it has happened once or not at all.
   */
  apply(projectId: string, sessionId: string, report: Report): Promise<Applied>;
  /**
   * For requests that bring reports of a project, before anything of them is read: to refuse one costs a tenth of taking it.
   *
   * @returns a Refusal when reports of this project wait for so long already that one more would only make all of them later.
   */
  admit(projectId: string): Refusal | null;
  /** Whether PostgreSQL refuses most reports at the moment: see {@link createRefusalShare}. */
  isRefusing(): boolean;
  /** Takes no more and waits until all that were taken are answered. */
  drain(): Promise<void>;
}

/**
 * Most sessions in one commit. A commit costs PostgreSQL 2 ms beside its rows, so of 128 each costs a third less than of
 * 64; more only lengthen the tail (performance, "Limits").
 */
const sessionsPerCommit = 128;
/** What waits in memory at most. Past that the answer is 503, before memory grows. */
const bounds: QueueBounds = { reportsMax: 10_000, bytesMax: 128 * 1_048_576 };
/** What a report takes in memory beside its variables, about. */
const reportBytes = 1_024;
/** When a project's report has waited so long, in milliseconds, and more of it waits than a commit takes, requests are refused unread. */
const waitedMaxMs = 500;
const waitingTooLong = new Refusal(
  "overloaded",
  `Reports of this project wait for more than ${waitedMaxMs} ms for their commit; send this one again in a second.`,
);
const unavailable = new Refusal(
  "database_unavailable",
  "PostgreSQL does not answer, or takes no writes; send the report again in a second.",
);
/** How often the intake looks for reports that have waited for too long, in milliseconds. */
const expiryLookMs = 100;
/** How often one report may lose its compare-and-set to other processes before its client is asked to come again. */
const conflictsMax = 20;

/** What the intake works with. */
export interface IntakeParts extends WriteParts {
  readonly log: Logger;
  readonly graces: Graces;
  /** How long a report waits for its commit before it is answered with 503, in milliseconds. Default: 5,000. */
  readonly timeoutMs?: number;
  /** Told of each commit that owes deliveries which nobody has claimed. */
  readonly onOwed: (hints: readonly Hint[]) => void;
  /** Told of each report that was decided and, when it changed something, committed. */
  readonly onAnswered?: (report: Report, sessionId: string, answer: Applied | Refusal) => void;
}

/**
 * Group commit by need (performance, "The design that reached it"): while one batch commits, reports queue; when it is
 * done, all that wait go in the next. An idle system commits at once, a busy one batches by itself.
 */
export function createReportIntake(parts: IntakeParts): ReportIntake {
  const { timeoutMs = 5_000, clock } = parts;
  const queue = new IntakeQueue(bounds);
  /** The reports of the batch under way. */
  let batch: Waiting[] = [];
  let running: Promise<void> | null = null;
  let draining = false;
  const refusals = createRefusalShare(clock);

  const run = async (): Promise<void> => {
    const expiry = setInterval(expire, expiryLookMs);
    while (queue.size > 0) {
      const groups = queue.take(sessionsPerCommit);
      batch = [...groups.values()].flat();
      queue.putBack(await commitBatch(parts, refusals, groups));
      batch = [];
    }
    clearInterval(expiry);
    running = null;
  };

  /** Nobody waits for longer than the time limit, whether PostgreSQL hangs or others come first. */
  const expire = (): void => {
    const sinceMs = clock.monotonicMs() - timeoutMs;
    // What is under way may still be committed: the same report again is a duplicate then.
    const over = batch.filter((item) => item.sinceMs < sinceMs).concat(queue.removeOlderThan(sinceMs));
    if (over.length === 0) return;
    batch = batch.filter((item) => item.sinceMs >= sinceMs);
    refusals.refused(over.length);
    parts.log.error({
      event: "report.timed_out",
      reports: over.length,
      reason: `no commit within ${timeoutMs} ms`,
    });
    for (const item of over) item.reject(unavailable);
  };

  return {
    apply(projectId, sessionId, report) {
      if (draining) {
        return Promise.reject(
          new Refusal("draining", "This process is shutting down; send the report again."),
        );
      }
      if (!queue.hasRoom(projectId)) {
        return Promise.reject(
          new Refusal(
            "overloaded",
            `${queue.sizeOf(projectId)} reports of this project wait for their commit already; send this one again in a second.`,
          ),
        );
      }
      return new Promise<Applied>((resolve, reject) => {
        const sinceMs = clock.monotonicMs();
        const bytes = bytesOf(report);
        queue.add({ projectId, sessionId, report, bytes, sinceMs, conflicts: 0, resolve, reject });
        running ??= run();
      });
    },
    admit(projectId) {
      const sinceMs = queue.oldestOf(projectId);
      if (sinceMs === null || queue.sizeOf(projectId) <= sessionsPerCommit / queue.projects) return null;
      return clock.monotonicMs() - sinceMs <= waitedMaxMs ? null : waitingTooLong;
    },
    isRefusing: refusals.isMost,
    async drain() {
      draining = true;
      await running;
    },
  };
}

/** About how much memory a report takes while it waits. */
function bytesOf(report: Report): number {
  if (report.type === "created") return reportBytes + (report.variables?.length ?? 0);
  return "extractedVariables" in report
    ? reportBytes + (report.extractedVariables?.length ?? 0)
    : reportBytes;
}

/** Commits a batch and answers its reports. What lost its compare-and-set comes back to be tried again. */
async function commitBatch(
  parts: IntakeParts,
  refusals: RefusalShare,
  batch: Map<string, Waiting[]>,
): Promise<Waiting[]> {
  const startedMs = performance.now();
  try {
    const { groups, subscribersOf } = await decideBatch(parts.pool, parts.graces, batch);
    const changed = groups.filter((group) => group.change !== null);
    const { saved, owed, hints } = await writeBatch(parts, changed, subscribersOf);
    if (hints.length > 0) parts.onOwed(hints);
    const lost: Waiting[] = [];
    for (const group of groups) {
      if (group.change !== null && !saved.has(group.change.sessionKey)) lost.push(...group.waiting);
      else answer(parts, group);
    }
    parts.log.debug({
      event: "report.batch_committed",
      reports: [...batch.values()].flat().length,
      sessions: batch.size,
      changed: changed.length,
      conflicts: lost.length,
      owed,
      durationMs: performance.now() - startedMs,
    });
    refusals.taken(groups.length);
    return lost.filter(mayTryAgain);
  } catch (error) {
    return failBatch(parts, refusals, batch, error);
  }
}

function answer(parts: IntakeParts, group: Group): void {
  group.waiting.forEach((item, index) => {
    const result = group.answers[index];
    if (result === undefined) throw new Error("a report of a decided group has no answer");
    parts.onAnswered?.(item.report, item.sessionId, result);
    if (result instanceof Refusal) item.reject(result);
    else item.resolve(result);
  });
}

function mayTryAgain(item: Waiting): boolean {
  item.conflicts += 1;
  if (item.conflicts <= conflictsMax) return true;
  item.reject(
    new Refusal("overloaded", "Other reports of this session came between each time; send this one again."),
  );
  return false;
}

/**
 * A statement failed. When PostgreSQL could not be asked, all of the batch get 503 (it may have been committed: the
 * same report again is then a duplicate). Else one report of the batch has something that the tables refuse: each
 * session is tried alone, so that only the one at fault fails.
 */
async function failBatch(
  parts: IntakeParts,
  refusals: RefusalShare,
  batch: Map<string, Waiting[]>,
  error: unknown,
): Promise<Waiting[]> {
  const reason = error instanceof Error ? error.message : String(error);
  parts.log.error({ event: "report.batch_failed", sessions: batch.size, reason });
  if (batch.size > 1 && !isUnavailable(error)) {
    const lost: Waiting[] = [];
    for (const [key, items] of batch)
      lost.push(...(await commitBatch(parts, refusals, new Map([[key, items]]))));
    return lost;
  }
  const items = [...batch.values()].flat();
  if (isUnavailable(error)) refusals.refused(items.length);
  for (const item of items) item.reject(isUnavailable(error) ? unavailable : error);
  return [];
}
