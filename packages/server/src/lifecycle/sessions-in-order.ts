import type { SessionsQuery } from "@sendoff/contract";
import { sessionFacetSql, sessionFacets } from "../database/facets.ts";
import type { Place } from "./session-page.ts";

/** Filters of a list of sessions. */
export type SessionFilters = Pick<SessionsQuery, "channel" | "callStatus" | "state" | "from" | "to" | "text">;

/**
 * The statement that lists sessions in order: of each facet that fits, the index from the newest on, merged while it is
 * read. A condition on facets in one scan (`= ANY`) would sort all that fit; a condition without them reads all that do
 * not fit.
 *
 * @param most how many are wanted of it; null: all.
 */
export function mergedSessions(
  projectId: string,
  filters: SessionFilters,
  after: Place | null,
  most: number | null,
): { readonly sql: string; readonly values: unknown[] } {
  const values: unknown[] = [projectId];
  const parameter = (value: unknown): string => `$${values.push(value)}`;
  const conditions = ["project_id = $1 AND version > 0"];
  if (filters.from !== undefined) conditions.push(`created_at >= ${parameter(filters.from)}`);
  if (filters.to !== undefined) conditions.push(`created_at < ${parameter(filters.to)}`);
  if (after !== null) {
    conditions.push(
      `(created_at, session_key) < (timestamptz 'epoch' + ${parameter(after[0])}::bigint * interval '1 microsecond',
         ${parameter(after[1])}::bigint)`,
    );
  }
  const where = conditions.join(" AND ");
  const order = "ORDER BY created_at DESC, session_key DESC";
  const ordered = `${order}${most === null ? "" : ` LIMIT ${most}`}`;
  const scans = sessionFacets(filters).map(
    (facet) =>
      `(SELECT * FROM sessions WHERE ${where} AND (${sessionFacetSql}) = ${parameter(facet)} ${ordered})`,
  );
  const none = "SELECT * FROM sessions WHERE project_id = $1 AND false";
  return { sql: `(${scans.length === 0 ? none : scans.join(" UNION ALL ")}) AS sessions ${order}`, values };
}
