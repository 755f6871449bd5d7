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

// The sessions of a batch that are there, the time by the one clock that counts, and for each session that was asked for a
// number for the ids of what its change may make (migration 0015). What is not about one session stands in the first row,
// with the endpoints of the projects: a statement of its own would be another way to PostgreSQL and back.
const readSql = `
  WITH found AS (
    SELECT input.position, sessions.*
    FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS input (project_id, session_id, position)
    JOIN sessions ON sessions.project_id = input.project_id AND sessions.session_id = input.session_id
  )
  SELECT head.*, found.* FROM found FULL JOIN (
    SELECT (SELECT min(position) FROM found) AS first, clock_timestamp() AS now,
      ${subscribersSql("$3::uuid[]")} AS subscribers,
      array(SELECT nextval('drawn_ids') FROM generate_series(1, cardinality($2::text[]))) AS drawn
  ) AS head ON head.first = found.position`;

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
  const found = new Map(rows.map((row) => [row.position, row]));
  const head = rows.find((row): row is ReadRow & Head => row.now !== null);
  if (head === undefined) throw new Error("what was read of a batch has no head");
  const byProject = subscribersOf(head.subscribers);
  const groups = wanted.map((waiting, index) => {
    const { projectId, sessionId } = waiting[0] as Waiting;
    const row = found.get(index + 1);
    const drawn = Number(head.drawn[index]);
    return decideGroup(waiting, graces, {
      session: row === undefined ? unseenSession(projectId, sessionId, head.now) : sessionOf(row),
      sessionKey: row?.session_key ?? drawn,
      isNew: row === undefined,
      drawn,
      now: head.now,
      subscribers: byProject.get(projectId) ?? [],
    });
  });
  return { groups, subscribersOf: byProject };
}

interface Head {
  readonly now: Date;
  /** bigint arrays come as text. */
  readonly drawn: readonly string[];
  readonly subscribers: Parameters<typeof subscribersOf>[0];
}

/** A row of `sessions` with its place in the batch; of the first row, which may be of no session, also the head. */
interface ReadRow extends Record<string, unknown> {
  readonly position: number | null;
  readonly session_key: number | null;
  readonly now: Date | null;
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
