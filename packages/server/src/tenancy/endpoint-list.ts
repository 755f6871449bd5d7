import { type Endpoint, type EventName, eventNames } from "@sendoff/contract";
import type pg from "pg";
import { numberedSql, withinPageSql } from "../database/page-bytes.ts";

/** Most endpoints of each part. A project has 50 at a time; those that were removed add up, and have a URL of 2 KiB each. */
const listedMax = 1_000;

// There is an index for each.
const of = (which: string): string => `
  (SELECT endpoint_id AS "endpointId", kind, url, events, created_at AS "createdAt", removed_at AS "removedAt"
   FROM endpoints WHERE project_id = $1 AND ${which} ORDER BY created_at DESC, endpoint_id LIMIT ${listedMax})`;

const removed = numberedSql(
  of("removed_at IS NOT NULL"),
  "300 + octet_length(url)",
  '"createdAt" DESC, "endpointId"',
);

/** The endpoints of a project, also removed ones; those that are there first, each part newest first. */
export async function listEndpoints(pool: pg.Pool, projectId: string): Promise<Endpoint[]> {
  const { rows } = await pool.query<
    Omit<Endpoint, "events" | "createdAt" | "removedAt"> & {
      events: EventName[] | null;
      createdAt: Date;
      removedAt: Date | null;
    }
  >(
    `${of("removed_at IS NULL")}
     UNION ALL (SELECT "endpointId", kind, url, events, "createdAt", "removedAt" FROM ${removed} AS removed
       WHERE ${withinPageSql} ORDER BY page_number)`,
    [projectId],
  );
  return rows.map((row) => ({
    ...row,
    // Without any an endpoint has session.ended alone (behaviour, section 4).
    events: eventNames.filter((event) => (row.events ?? ["session.ended"]).includes(event)),
    createdAt: row.createdAt.toISOString(),
    removedAt: row.removedAt?.toISOString() ?? null,
  }));
}
