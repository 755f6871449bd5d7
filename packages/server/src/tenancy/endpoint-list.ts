import { type Endpoint, type EventName, eventNames } from "@sendoff/contract";
import type pg from "pg";

/** Most endpoints of each part. A project has 50 at a time; those that were removed add up. */
const listedMax = 1_000;

// There is an index for each.
const of = (which: string): string => `
  (SELECT endpoint_id AS "endpointId", kind, url, events, created_at AS "createdAt", removed_at AS "removedAt"
   FROM endpoints WHERE project_id = $1 AND ${which} ORDER BY created_at DESC, endpoint_id LIMIT ${listedMax})`;

/** The endpoints of a project, also removed ones; those that are there first, each part newest first. */
export async function listEndpoints(pool: pg.Pool, projectId: string): Promise<Endpoint[]> {
  const { rows } = await pool.query<
    Omit<Endpoint, "events" | "createdAt" | "removedAt"> & {
      events: EventName[] | null;
      createdAt: Date;
      removedAt: Date | null;
    }
  >(`${of("removed_at IS NULL")} UNION ALL ${of("removed_at IS NOT NULL")}`, [projectId]);
  return rows.map((row) => ({
    ...row,
    // Without any an endpoint has session.ended alone (behaviour, section 4).
    events: eventNames.filter((event) => (row.events ?? ["session.ended"]).includes(event)),
    createdAt: row.createdAt.toISOString(),
    removedAt: row.removedAt?.toISOString() ?? null,
  }));
}
