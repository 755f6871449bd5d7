import type { EventName } from "@sendoff/contract";
import type pg from "pg";
import { isUnavailable } from "../database/pool.ts";
import type { Logger } from "../log.ts";
import { appendParameters, appendSql, type FrozenEvent, freezeEvent, wantedSql } from "../outbox/append.ts";
import { type Hint, parseHints } from "../outbox/hint.ts";
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
  readonly changedSession: Session | null;
  readonly events: readonly FrozenEvent[];
}

// The sessions of a batch as they are, and the time by the one clock that counts. Whether anybody wants session.started is
// asked only where it could be emitted (ADR 0026).
const readSql = `
  SELECT input.project_id AS wanted_project_id, input.session_id AS wanted_session_id,
    clock_timestamp() AS now, sessions.*,
    sessions.channel IS NULL AND ${wantedSql("session.started", "input.project_id")} AS start_wanted
  FROM unnest($1::uuid[], $2::text[]) AS input (project_id, session_id)
  LEFT JOIN sessions ON sessions.project_id = input.project_id AND sessions.session_id = input.session_id`;

const names = sessionColumns.map((column) => column.name);
const keyOrCreation = new Set(["project_id", "session_id", "created_at"]);

// One statement is one commit: the compare-and-set of each session (its version is the one that was read), its events
// and their deliveries. A session that somebody else changed meanwhile is not among the rows that come back.
const writeSql = `
  WITH saved AS (
    INSERT INTO sessions (${names.join(", ")})
    SELECT * FROM unnest(${sessionColumns.map((column, index) => `$${index + 1}::${column.type}[]`).join(", ")})
    ON CONFLICT ON CONSTRAINT one_session_per_id DO UPDATE
      SET ${names
        .filter((name) => !keyOrCreation.has(name))
        .map((name) => `${name} = excluded.${name}`)
        .join(", ")}
      WHERE sessions.version = excluded.version - 1
    RETURNING session_key, project_id, session_id
  ), ${appendSql(names.length + 1)}
  SELECT project_id, session_id, (SELECT count(*) FROM born) AS owed, (SELECT count(*) FROM told) AS told,
    (SELECT string_agg(hint, ',') FROM hinted) AS hints
  FROM saved`;

const groupKey = (projectId: string, sessionId: string): string => `${projectId} ${sessionId}`;

/** What the intake works with. */
export interface IntakeParts {
  readonly pool: pg.Pool;
  readonly log: Logger;
  readonly graces: Graces;
  /** Told of each commit that owes deliveries. */
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
    const groups = await decideBatch(parts, batch);
    const changed = groups.filter((group) => group.changedSession !== null);
    const { saved, owed, hints } = await writeBatch(parts.pool, changed);
    if (owed > 0) parts.onOwed(hints);
    const lost: Waiting[] = [];
    for (const group of groups) {
      const session = group.changedSession;
      if (session !== null && !saved.has(groupKey(session.projectId, session.sessionId))) {
        lost.push(...group.waiting);
      } else {
        answer(parts, group);
      }
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

async function decideBatch(parts: IntakeParts, batch: Map<string, Waiting[]>): Promise<Group[]> {
  const wanted = [...batch.values()].map((items) => items[0] as Waiting);
  const { rows } = await parts.pool.query<Record<string, unknown>>({
    name: "report-read",
    text: readSql,
    values: [wanted.map((item) => item.projectId), wanted.map((item) => item.sessionId)],
  });
  return rows.map((row) => {
    const projectId = row.wanted_project_id as string;
    const sessionId = row.wanted_session_id as string;
    const now = row.now as Date;
    const stored = row.version === null ? unseenSession(projectId, sessionId, now) : sessionOf(row);
    const waiting = batch.get(groupKey(projectId, sessionId));
    // Nobody would ever be answered: PostgreSQL has written the id in another way than the one who asked.
    if (waiting === undefined) throw new Error(`no report of the batch is for ${projectId} ${sessionId}`);
    return decideGroup(stored, waiting, now, parts.graces, row.start_wanted === true);
  });
}

/**
 * Decides a session's waiting reports one after another, each on what the one before it left.
 *
 * @param startWanted an endpoint subscribes to session.started: without one the event is not emitted (ADR 0026).
 */
function decideGroup(
  stored: Session,
  waiting: Waiting[],
  now: Date,
  graces: Graces,
  startWanted: boolean,
): Group {
  let session = stored;
  const events: FrozenEvent[] = [];
  const answers = waiting.map(({ report }): Applied | Refusal => {
    const decision = transition(session, report, now, graces);
    if (decision.kind === "refused") return new Refusal(decision.code, decision.message);
    // Of several changes in one batch the row sees the last; to the reports they are one after another.
    session =
      decision.kind === "changed" ? { ...decision.session, version: stored.version + 1 } : decision.session;
    const late = decision.late ?? false;
    if (decision.kind === "duplicate") return { session, duplicate: true, late, events: [] };
    const facts = { ...session, variables: session.extractedVariables };
    const emitted = decision.events.filter((event) => startWanted || event !== "session.started");
    for (const event of emitted) events.push(freezeEvent(event, facts, now));
    return { session, duplicate: false, late, events: emitted };
  });
  return { waiting, answers, changedSession: session === stored ? null : session, events };
}

async function writeBatch(
  pool: pg.Pool,
  groups: readonly Group[],
): Promise<{ saved: Set<string>; owed: number; hints: Hint[] }> {
  if (groups.length === 0) return { saved: new Set(), owed: 0, hints: [] };
  // Always in the same order, so that two processes with the same sessions in their batches cannot deadlock.
  const ordered = groups
    .map((group) => ({ session: group.changedSession as Session, events: group.events }))
    .sort((left, right) => (groupKeyOf(left.session) < groupKeyOf(right.session) ? -1 : 1));
  const { rows } = await pool.query<{
    project_id: string;
    session_id: string;
    owed: number;
    hints: string | null;
  }>({
    name: "report-write",
    text: writeSql,
    values: [
      ...sessionColumns.map(({ field }) => ordered.map(({ session }) => session[field])),
      ...appendParameters(ordered.flatMap(({ events }) => events)),
    ],
  });
  return {
    saved: new Set(rows.map((row) => groupKey(row.project_id, row.session_id))),
    owed: rows[0]?.owed ?? 0,
    hints: parseHints(rows[0]?.hints ?? ""),
  };
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
