import type pg from "pg";
import { type FrozenEvent, freezeEvent } from "../outbox/append.ts";
import { readSubscribers, type Subscriber, subscribes } from "../outbox/subscribers.ts";
import { Refusal } from "../refusal.ts";
import { type Applied, type Decided, type Group, groupKey, type Waiting } from "./batch.ts";
import type { Graces } from "./deadline.ts";
import type { Session } from "./session.ts";
import { sessionOf } from "./store.ts";
import { transition, unseenSession } from "./transition.ts";

// The sessions of a batch as they are, the time by the one clock that counts, and a number for the ids of what a session's
// change may make (migration 0015).
const readSql = `
  SELECT input.project_id AS wanted_project_id, input.session_id AS wanted_session_id,
    clock_timestamp() AS now, nextval('drawn_ids') AS drawn, sessions.*
  FROM unnest($1::uuid[], $2::text[]) AS input (project_id, session_id)
  LEFT JOIN sessions ON sessions.project_id = input.project_id AND sessions.session_id = input.session_id`;

/** Reads the sessions of a batch and decides what its reports do, without changing anything. */
export async function decideBatch(
  pool: pg.Pool,
  graces: Graces,
  batch: ReadonlyMap<string, Waiting[]>,
): Promise<Decided> {
  const wanted = [...batch.values()].map((items) => items[0] as Waiting);
  const projectIds = wanted.map((item) => item.projectId);
  const [{ rows }, subscribersOf] = await Promise.all([
    pool.query<Record<string, unknown>>({
      name: "report-read",
      text: readSql,
      values: [projectIds, wanted.map((item) => item.sessionId)],
    }),
    readSubscribers(pool, projectIds),
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
    return decideGroup(waiting, graces, {
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
