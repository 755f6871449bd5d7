import type { UnsentEvent, UnsentEventsQuery } from "@sendoff/contract";
import type pg from "pg";
import { decodeCursor, encodeCursor } from "../database/cursor.ts";
import { Filters } from "../database/filters.ts";

/** A project's events that went to no endpoint, newest first. */
export async function listUnsent(
  pool: pg.Pool,
  projectId: string,
  { limit, cursor }: UnsentEventsQuery,
): Promise<{ events: UnsentEvent[]; nextCursor: string | null }> {
  const before = cursor === undefined ? undefined : decodeCursor(cursor, [/^\d{1,18}$/])[0];
  const filters = new Filters()
    .add("events.project_id = ?", projectId)
    .add("events.event_id < ?", before)
    .add("(unsent_reason IS NOT NULL) = ?", true);
  const { rows } = await pool.query<Omit<UnsentEvent, "emittedAt"> & { id: number; emittedAt: Date }>(
    `SELECT event_id AS id, event, session_id AS "sessionId", webhook_id AS "webhookId",
       emitted_at AS "emittedAt", unsent_reason AS reason
     FROM events JOIN sessions USING (session_key) ${filters.where}
     ORDER BY event_id DESC LIMIT ${filters.parameter(limit + 1)}`,
    filters.values,
  );
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return {
    events: page.map(({ id: _id, ...row }) => ({ ...row, emittedAt: row.emittedAt.toISOString() })),
    nextCursor: rows.length > limit && last !== undefined ? encodeCursor([last.id]) : null,
  };
}
