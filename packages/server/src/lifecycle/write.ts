import type pg from "pg";
import type { Clock } from "../clock.ts";
import { column } from "../database/columns.ts";
import { appendParameters, appendSql, claimOf, type Owed, owe } from "../outbox/append.ts";
import type { Handover } from "../outbox/handover.ts";
import { type Hint, parseHints } from "../outbox/hint.ts";
import { type Decided, type Group, groupKey } from "./batch.ts";
import type { Session } from "./session.ts";
import { sessionColumns } from "./store.ts";

const columns = [{ name: "session_key", type: "bigint" } as const, ...sessionColumns];
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

/** What became of a batch: the keys of the sessions that were stored, how much they owe, and what nobody has claimed. */
export interface Written {
  readonly saved: ReadonlySet<number>;
  readonly owed: number;
  readonly hints: readonly Hint[];
}

/** What a batch is written with. */
export interface WriteParts {
  readonly pool: pg.Pool;
  readonly clock: Clock;
  /** Takes the deliveries that a commit has claimed for this process. */
  readonly handover: Handover;
}

/** Commits the changes of a batch with their events and deliveries; what is claimed by it begins. */
export async function writeBatch(
  parts: WriteParts,
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
    const commit = parts.pool.query<WrittenRow>({
      name: "report-write",
      text: writeSql,
      values: [
        column(
          "bigint",
          ordered.map(({ sessionKey }) => sessionKey),
        ),
        ...sessionColumns.map(({ type, field }) =>
          column(type, ordered.map(({ session }) => session[field]) as never),
        ),
        ...appendParameters(owed, parts.handover.workerId),
      ],
    });
    const { rows } = await parts.handover.follow(commit);
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
