import type pg from "pg";
import { column } from "../database/columns.ts";
import { type FrozenEvent, freezeEvent } from "../outbox/append.ts";
import { type Subscriber, subscribersOf, subscribersSql, subscribes } from "../outbox/subscribers.ts";
import { Refusal } from "../refusal.ts";
import type { Applied, Decided, Group, Waiting } from "./batch.ts";
import type { Graces } from "./deadline.ts";
import type { Session } from "./session.ts";
import { sessionOf } from "./store.ts";
import { transition, unseenSession } from "./transition.ts";

// The sessions of a batch as they are, the time by the one clock that counts, and a number for the ids of what a session's
// change may make (migration 0015). The first row has the endpoints of their projects: a statement of their own would be
// another way to PostgreSQL and back.
const readSql = `
  SELECT input.position, clock_timestamp() AS now, nextval('drawn_ids') AS drawn,
    CASE WHEN input.position = 1 THEN ${subscribersSql("$3::uuid[]")} END AS subscribers, sessions.*
  FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS input (project_id, session_id, position)
  LEFT JOIN sessions ON sessions.project_id = input.project_id AND sessions.session_id = input.session_id`;

/** Reads the sessions of a batch and decides what its reports do, without changing anything. */
export async function decideBatch(
  pool: pg.Pool,
  graces: Graces,
  batch: ReadonlyMap<string, Waiting[]>,
): Promise<Decided> {
  const wanted = [...batch.values()];
  const projectIds = wanted.map(([first]) => (first as Waiting).projectId);
  const sessionIds = wanted.map(([first]) => (first as Waiting).sessionId);
  const { rows } = await pool.query<ReadRow>({
    name: "report-read",
    text: readSql,
    values: [
      column("uuid", projectIds),
      column("text", sessionIds),
      column("uuid", [...new Set(projectIds)]),
    ],
  });
  const byProject = subscribersOf(rows.find(({ position }) => position === 1)?.subscribers ?? null);
  const groups = rows.map((row) => {
    const { now, drawn } = row;
    const waiting = wanted[row.position - 1];
    if (waiting === undefined) throw new Error(`a row answers to nothing that was asked: ${row.position}`);
    const { projectId, sessionId } = waiting[0] as Waiting;
    const isNew = row.version === null;
    return decideGroup(waiting, graces, {
      session: isNew ? unseenSession(projectId, sessionId, now) : sessionOf(row),
      sessionKey: row.session_key ?? drawn,
      isNew,
      drawn,
      now,
      subscribers: byProject.get(projectId) ?? [],
    });
  });
  return { groups, subscribersOf: byProject };
}

/** A row of `sessions`, whose columns are null when there is none, with what the statement adds. */
interface ReadRow extends Record<string, unknown> {
  readonly position: number;
  readonly now: Date;
  readonly drawn: number;
  readonly subscribers: Parameters<typeof subscribersOf>[0];
  readonly version: number | null;
  readonly session_key: number | null;
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
