import type { EventName } from "@sendoff/contract";
import type pg from "pg";
import type { Clock } from "../clock.ts";
import { isUnavailable } from "../database/pool.ts";
import type { Logger } from "../log.ts";
import {
  appendParameters,
  appendSql,
  claimOf,
  type FrozenEvent,
  freezeEvent,
  type Owed,
  owe,
} from "../outbox/append.ts";
import type { Handover } from "../outbox/handover.ts";
import { type Hint, parseHints } from "../outbox/hint.ts";
import { readSubscribers, type Subscriber, subscribes } from "../outbox/subscribers.ts";
import { Refusal } from "../refusal.ts";
import type { Graces } from "./deadline.ts";
import type { Report, Session } from "./session.ts";
import { sessionColumns, sessionOf } from "./store.ts";
import { transition, unseenSession } from "./transition.ts";

/** What a report did, once it is committed. */
export interface Applied {
  readonly session: Session;
  /** True: the fact was known and nothing changed. */
  readonly duplicate: boolean;
  /** True: the report came after its deadline, is kept, and emitted nothing. */
  readonly late: boolean;
  /** Events that the report emitted, in order. */
  readonly events: readonly EventName[];
}

/** Takes reports and answers each when it is committed. */
export interface ReportIntake {
  /**
   * @throws Refusal when the report contradicts what is stored, when too many wait, when PostgreSQL does not answer or
   * while the process drains. After the last three the report may be sent again: it has happened once or not at all.
   */
  apply(projectId: string, sessionId: string, report: Report): Promise<Applied>;
  /** Takes no more and waits until all that were taken are answered. */
  drain(): Promise<void>;
}

/** Most sessions in one commit. Measured (performance, "Limits"): more only lengthens the tail. */
const sessionsPerCommit = 64;
/** Most reports that wait in memory. Past that the answer is 503, before memory grows. */
const waitingMax = 10_000;
/** How often one report may lose its compare-and-set to other processes before its client is asked to come again. */
const conflictsMax = 20;

interface Waiting {
  readonly projectId: string;
  readonly sessionId: string;
  readonly report: Report;
  conflicts: number;
  resolve(applied: Applied): void;
  reject(error: unknown): void;
}

/** Reports of one session, decided one after another and stored by one change of its row. */
interface Group {
  readonly waiting: Waiting[];
  readonly answers: Array<Applied | Refusal>;
  /** null: nothing changes. */
  readonly change: { readonly session: Session; readonly sessionKey: number } | null;
  readonly events: readonly FrozenEvent[];
}

// The sessions of a batch as they are, the time by the one clock that counts, and a number for the ids of what a session's
// change may make (migration 0016).
const readSql = `
  SELECT input.project_id AS wanted_project_id, input.session_id AS wanted_session_id,
    clock_timestamp() AS now, nextval('drawn_ids') AS drawn, sessions.*
  FROM unnest($1::uuid[], $2::text[]) AS input (project_id, session_id)
  LEFT JOIN sessions ON sessions.project_id = input.project_id AND sessions.session_id = input.session_id`;

const columns = [{ name: "session_key", type: "bigint" }, ...sessionColumns];
const names = columns.map((column) => column.name);
const keyOrCreation = new Set(["session_key", "project_id", "session_id", "created_at"]);

// One statement is one commit: the compare-and-set of each session (its version is the one that was read), its events
// and their deliveries. A session that somebody else changed meanwhile is not among the rows that come back.
const writeSql = `
  WITH saved AS (
    INSERT INTO sessions (${names.join(", ")})
    SELECT * FROM unnest(${columns.map((column, index) => `$${index + 1}::${column.type}[]`).join(", ")})
    ON CONFLICT ON CONSTRAINT one_session_per_id DO UPDATE
      SET ${names
        .filter((name) => !keyOrCreation.has(name))
        .map((name) => `${name} = excluded.${name}`)
        .join(", ")}
      WHERE sessions.version = excluded.version - 1
    RETURNING session_key
  ), ${appendSql(names.length + 1)}
  SELECT array(SELECT session_key FROM saved) AS saved, array(SELECT delivery_id FROM born WHERE claimed) AS claimed,
    (SELECT count(*) FROM born) AS owed, (SELECT count(*) FROM told) AS told,
    (SELECT string_agg(hint, ',') FROM hinted) AS hints`;

const groupKey = (projectId: string, sessionId: string): string => `${projectId} ${sessionId}`;

/** What the intake works with. */
export interface IntakeParts {
  readonly pool: pg.Pool;
  readonly log: Logger;
  readonly graces: Graces;
  /** Takes the deliveries that a commit has claimed for this process. */
  readonly handover: Handover;
  readonly clock: Clock;
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
  let queue: Waiting[] = [];
  let running: Promise<void> | null = null;
  let draining = false;

  const run = async (): Promise<void> => {
    while (queue.length > 0) {
      const { groups, rest } = takeBatch(queue);
      queue = rest;
      const lost = await commitBatch(parts, groups);
      queue = [...lost, ...queue];
    }
    running = null;
  };

  return {
    apply(projectId, sessionId, report) {
      if (draining) {
        return Promise.reject(
          new Refusal("draining", "This process is shutting down; send the report again."),
        );
      }
      if (queue.length >= waitingMax) {
        return Promise.reject(
          new Refusal(
            "overloaded",
            `${waitingMax} reports wait for their commit already; send this one again in a second.`,
          ),
        );
      }
      return new Promise<Applied>((resolve, reject) => {
        queue.push({ projectId, sessionId, report, conflicts: 0, resolve, reject });
        running ??= run();
      });
    },
    async drain() {
      draining = true;
      await running;
    },
  };
}

/** The reports that go in the next commit, by session and in the order of their arrival. */
function takeBatch(queue: readonly Waiting[]): { groups: Map<string, Waiting[]>; rest: Waiting[] } {
  const groups = new Map<string, Waiting[]>();
  const rest: Waiting[] = [];
  for (const item of queue) {
    const key = groupKey(item.projectId, item.sessionId);
    const group = groups.get(key);
    if (group !== undefined) group.push(item);
    else if (groups.size < sessionsPerCommit) groups.set(key, [item]);
    else rest.push(item);
  }
  return { groups, rest };
}

/** Commits a batch and answers its reports. What lost its compare-and-set comes back to be tried again. */
async function commitBatch(parts: IntakeParts, batch: Map<string, Waiting[]>): Promise<Waiting[]> {
  const startedMs = performance.now();
  try {
    const { groups, subscribersOf } = await decideBatch(parts, batch);
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
    return lost.filter(mayTryAgain);
  } catch (error) {
    return failBatch(parts, batch, error);
  }
}

async function decideBatch(parts: IntakeParts, batch: Map<string, Waiting[]>): Promise<Decided> {
  const wanted = [...batch.values()].map((items) => items[0] as Waiting);
  const projectIds = wanted.map((item) => item.projectId);
  const [{ rows }, subscribersOf] = await Promise.all([
    parts.pool.query<Record<string, unknown>>({
      name: "report-read",
      text: readSql,
      values: [projectIds, wanted.map((item) => item.sessionId)],
    }),
    readSubscribers(parts.pool, projectIds),
  ]);
  const groups = rows.map((row) => {
    const projectId = row.wanted_project_id as string;
    const sessionId = row.wanted_session_id as string;
    const now = row.now as Date;
    const drawn = row.drawn as number;
    const isNew = row.version === null;
    const waiting = batch.get(groupKey(projectId, sessionId));
    // Nobody would ever be answered: PostgreSQL has written the id in another way than the one who asked.
    if (waiting === undefined) throw new Error(`no report of the batch is for ${projectId} ${sessionId}`);
    return decideGroup(waiting, parts.graces, {
      session: isNew ? unseenSession(projectId, sessionId, now) : sessionOf(row),
      sessionKey: isNew ? drawn : (row.session_key as number),
      isNew,
      drawn,
      now,
      subscribers: subscribersOf.get(projectId) ?? [],
    });
  });
  return { groups, subscribersOf };
}

/** A batch that is decided, and to whom its events may be owed. */
interface Decided {
  readonly groups: readonly Group[];
  readonly subscribersOf: ReadonlyMap<string, readonly Subscriber[]>;
}

/** A session as it was read, with what its change is made with. */
interface Stored {
  readonly session: Session;
  readonly sessionKey: number;
  readonly isNew: boolean;
  /** The number that was drawn for this change. */
  readonly drawn: number;
  readonly now: Date;
  readonly subscribers: readonly Subscriber[];
}

/** Decides a session's waiting reports one after another, each on what the one before it left. */
function decideGroup(waiting: Waiting[], graces: Graces, stored: Stored): Group {
  const { sessionKey, isNew, drawn, now, subscribers } = stored;
  let session = stored.session;
  const events: FrozenEvent[] = [];
  const answers = waiting.map(({ report }): Applied | Refusal => {
    const decision = transition(session, report, now, graces);
    if (decision.kind === "refused") return new Refusal(decision.code, decision.message);
    // Of several changes in one batch the row sees the last; to the reports they are one after another.
    session =
      decision.kind === "changed"
        ? { ...decision.session, version: stored.session.version + 1 }
        : decision.session;
    const late = decision.late ?? false;
    if (decision.kind === "duplicate") return { session, duplicate: true, late, events: [] };
    const emitter = { ...session, variables: session.extractedVariables, sessionKey, isNew };
    // Without anybody who wants it session.started is not emitted (ADR 0026).
    const emitted = decision.events.filter(
      (event) =>
        event !== "session.started" || subscribers.some((subscriber) => subscribes(subscriber, event)),
    );
    for (const event of emitted) events.push(freezeEvent(event, emitter, now, drawn, events.length));
    return { session, duplicate: false, late, events: emitted };
  });
  const change = session === stored.session ? null : { session, sessionKey };
  return { waiting, answers, change, events };
}

/** What became of a batch: the keys of the sessions that were stored, how much they owe, and what nobody has claimed. */
interface Written {
  readonly saved: ReadonlySet<number>;
  readonly owed: number;
  readonly hints: readonly Hint[];
}

async function writeBatch(
  parts: IntakeParts,
  groups: readonly Group[],
  subscribersOf: Decided["subscribersOf"],
): Promise<Written> {
  if (groups.length === 0) return { saved: new Set(), owed: 0, hints: [] };
  // Always in the same order, so that two processes with the same sessions in their batches cannot deadlock.
  const ordered = groups
    .map(({ change, events }) => ({ ...(change as NonNullable<Group["change"]>), events }))
    .sort((left, right) => (groupKeyOf(left.session) < groupKeyOf(right.session) ? -1 : 1));
  const owed = owe(
    ordered.flatMap(({ events }) => events),
    subscribersOf,
    parts.handover,
  );
  let claimed: ReadonlySet<number> = new Set();
  // Taken before the statement, so that our idea of the leases ends before the database's.
  const askedMs = parts.clock.monotonicMs();
  try {
    const { rows } = await parts.pool.query<WrittenRow>({
      name: "report-write",
      text: writeSql,
      values: [
        ordered.map(({ sessionKey }) => sessionKey),
        ...sessionColumns.map(({ field }) => ordered.map(({ session }) => session[field])),
        ...appendParameters(owed, parts.handover.workerId),
      ],
    });
    const [row] = rows as [WrittenRow];
    claimed = new Set(row.claimed.map(Number));
    return { saved: new Set(row.saved.map(Number)), owed: row.owed, hints: parseHints(row.hints ?? "") };
  } finally {
    handOver(parts.handover, owed, claimed, askedMs);
  }
}

interface WrittenRow {
  /** bigint arrays come as text. */
  readonly saved: readonly string[];
  readonly claimed: readonly string[];
  readonly owed: number;
  readonly hints: string | null;
}

/** What is claimed begins; of what is not, the place is given back. */
function handOver(
  handover: Handover,
  { deliveries }: Owed,
  claimed: ReadonlySet<number>,
  askedMs: number,
): void {
  for (const delivery of deliveries) {
    if (claimed.has(delivery.deliveryId)) handover.begin(claimOf(delivery), askedMs);
    else if (delivery.claim) handover.cancel(delivery.subscriber.endpointId);
  }
}

const groupKeyOf = (session: Session): string => groupKey(session.projectId, session.sessionId);

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
  batch: Map<string, Waiting[]>,
  error: unknown,
): Promise<Waiting[]> {
  const reason = error instanceof Error ? error.message : String(error);
  parts.log.error({ event: "report.batch_failed", sessions: batch.size, reason });
  if (batch.size > 1 && !isUnavailable(error)) {
    const lost: Waiting[] = [];
    for (const [key, items] of batch) lost.push(...(await commitBatch(parts, new Map([[key, items]]))));
    return lost;
  }
  const refusal = isUnavailable(error)
    ? new Refusal("database_unavailable", "PostgreSQL does not answer; send the report again in a second.")
    : error;
  for (const item of [...batch.values()].flat()) item.reject(refusal);
  return [];
}
