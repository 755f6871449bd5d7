import type { EventName, MissingEvent, Reconcile } from "@sendoff/contract";
import type pg from "pg";
import { decodeCursor, encodeCursor } from "../database/cursor.ts";
import { oweAgain } from "./resend.ts";

/** Most events of a window that one page looks at, so that no question costs more than this, whatever the window. */
export const examinedMax = 20_000;

interface MissingRow {
  readonly eventId: number;
  readonly sessionId: string;
  readonly event: EventName;
  readonly webhookId: string;
  readonly emittedAt: Date;
  readonly place: number;
  readonly state: MissingEvent["state"];
}

type Row = { [Field in keyof MissingRow]: MissingRow[Field] | null } & {
  readonly examined: number;
  readonly lastPlace: number | null;
  readonly lastId: number | null;
};

const microseconds = (column: string): string => `(extract(epoch FROM ${column}) * 1000000)::bigint`;

// NOT IN, for PostgreSQL makes a hash of its subquery once; a NOT EXISTS may become 10,000 x 10,000 comparisons. None of
// the columns can be NULL. A page's order is that of emission, and event_id has the same order within a session.
const missingSql = `
  WITH examined AS (
    SELECT event_id, session_key, event, webhook_id, emitted_at, owed_to FROM events
    WHERE project_id = $1 AND emitted_at >= $2 AND emitted_at < $3
      AND (emitted_at, event_id) > (timestamptz 'epoch' + $4::bigint * interval '1 microsecond', $5::bigint)
    ORDER BY emitted_at, event_id LIMIT ${examinedMax}
  ), missing AS (
    SELECT examined.*, sessions.session_id FROM examined JOIN sessions USING (session_key)
    WHERE $6::uuid = ANY (examined.owed_to)
      AND (sessions.session_id, examined.event) NOT IN (SELECT * FROM unnest($7::text[], $8::text[]))
    ORDER BY examined.emitted_at, examined.event_id LIMIT $9
  ), page AS (
    SELECT missing.event_id AS "eventId", missing.session_id AS "sessionId", missing.event,
      missing.webhook_id AS "webhookId", missing.emitted_at AS "emittedAt",
      ${microseconds("missing.emitted_at")} AS place,
      coalesce(unsettled.state, latest.settled_as) AS state
    FROM missing
    LEFT JOIN deliveries AS unsettled
      ON unsettled.event_id = missing.event_id AND unsettled.endpoint_id = $6::uuid
    LEFT JOIN LATERAL (
      SELECT settled_as FROM webhook_logs
      WHERE webhook_logs.session_key = missing.session_key AND webhook_logs.event_id = missing.event_id
        AND webhook_logs.endpoint_id = $6::uuid AND webhook_logs.attempted_at >= $2
        AND webhook_logs.attempted_at < now() + interval '1 minute'
      ORDER BY log_id DESC LIMIT 1) AS latest ON true
  )
  -- One row at least, for how far was looked.
  SELECT page.*, look.examined, ${microseconds("look.emitted_at")} AS "lastPlace", look.event_id AS "lastId"
  FROM (
    SELECT counted.examined, final.emitted_at, final.event_id
    FROM (SELECT count(*) AS examined FROM examined) AS counted
    LEFT JOIN LATERAL (
      SELECT emitted_at, event_id FROM examined ORDER BY emitted_at DESC, event_id DESC LIMIT 1) AS final ON true
  ) AS look
  LEFT JOIN page ON true
  ORDER BY page.place, page."eventId"`;

/**
 * The events of a window that were owed to an endpoint and that its receiver does not hold, oldest first. With `resend`
 * those of the page that have settled are sent again, in their lanes: of one session in the order of emission.
 *
 * A page may hold fewer than the limit, even none, while there are more: what counts is nextCursor.
 */
export async function reconcile(
  pool: pg.Pool,
  projectId: string,
  endpointId: string,
  question: Reconcile,
): Promise<{ missing: MissingEvent[]; nextCursor: string | null }> {
  const [place, id] =
    question.cursor === undefined
      ? ["-1", "0"]
      : decodeCursor(question.cursor, [/^\d{1,16}$/, /^\d{1,18}$/], "invalid_body");
  const { rows } = await pool.query<Row>(missingSql, [
    projectId,
    question.from,
    question.to,
    place,
    id,
    endpointId,
    question.held.map(([sessionId]) => sessionId),
    question.held.map(([, event]) => event),
    question.limit,
  ]);
  const page = rows.filter((row): row is Row & MissingRow => row.eventId !== null);
  const resent = question.resend ? await resendPage(pool, endpointId, page) : new Set<number>();
  return {
    missing: page.map((row) => viewMissing(row, resent.has(row.eventId))),
    nextCursor: cursorBehind(rows[0], page, question.limit),
  };
}

async function resendPage(
  pool: pg.Pool,
  endpointId: string,
  page: readonly MissingRow[],
): Promise<Set<number>> {
  const ids = page.map(({ eventId }) => eventId);
  const owed = ids.length === 0 ? [] : await oweAgain(pool, endpointId, ids, true);
  return new Set(owed.map(({ eventId }) => eventId));
}

function cursorBehind(look: Row | undefined, page: readonly MissingRow[], limit: number): string | null {
  const last = page.at(-1);
  if (last !== undefined && page.length === limit) return encodeCursor([last.place, last.eventId]);
  const { examined = 0, lastPlace = null, lastId = null } = look ?? {};
  return examined === examinedMax && lastPlace !== null && lastId !== null
    ? encodeCursor([lastPlace, lastId])
    : null;
}

const viewMissing = (row: MissingRow, resent: boolean): MissingEvent => ({
  sessionId: row.sessionId,
  event: row.event,
  webhookId: row.webhookId,
  timestamp: row.emittedAt.toISOString(),
  state: resent ? "pending" : row.state,
  resent,
});
