import { timingSafeEqual } from "node:crypto";
import type { ProjectInspectedRequest, ProjectInspectorQuery } from "@sendoff/contract";
import type pg from "pg";
import { decodeCursor, encodeCursor } from "../database/cursor.ts";
import { Filters } from "../database/filters.ts";
import { sign } from "../secrets/signature.ts";
import { type RequestRow, requestColumns, viewRequest } from "./inspector.ts";

/** What arrived at a project's inspectors, with what each signature is worth. */
export interface InspectedPage {
  readonly requests: ProjectInspectedRequest[];
  readonly nextCursor: string | null;
}

/**
 * The latest requests, newest first, or those after an id, oldest first.
 *
 * @param secrets signing secrets of the project's endpoints, in clear.
 */
export async function inspectedOfProject(
  pool: pg.Pool,
  projectId: string,
  query: ProjectInspectorQuery,
  secrets: readonly string[],
): Promise<InspectedPage> {
  const before = query.cursor === undefined ? undefined : decodeCursor(query.cursor, [/^\d{1,18}$/])[0];
  const filters = new Filters()
    .add("project_id = ?", projectId)
    .add("request_id < ?", before)
    .add("request_id > ?", query.after);
  const { rows } = await pool.query<RequestRow>(
    `SELECT ${requestColumns} FROM inspector_requests JOIN inspectors USING (inspector_id) ${filters.where}
     ORDER BY request_id ${query.after === undefined ? "DESC" : ""} LIMIT ${filters.parameter(query.limit + 1)}`,
    filters.values,
  );
  const page = rows.slice(0, query.limit);
  const last = page.at(-1);
  const more = query.after === undefined && rows.length > query.limit && last !== undefined;
  return {
    requests: page.map((row) => ({ ...viewRequest(row), signature: worthOf(row, secrets) })),
    nextCursor: more ? encodeCursor([last.id]) : null,
  };
}

const signaturesMax = 16;

/** Whether one of the signatures was made with one of the secrets. What Sendoff sends is UTF-8. */
function worthOf(row: RequestRow, secrets: readonly string[]): ProjectInspectedRequest["signature"] {
  const headers = JSON.parse(row.headers) as Record<string, string>;
  const given = headers["webhook-signature"];
  if (given === undefined) return "none";
  const signatures = given.split(" ", signaturesMax).map((one) => Buffer.from(one));
  const timestamp = Number(headers["webhook-timestamp"]);
  const body = row.body.toString("utf8");
  const valid = secrets.some((secret) => {
    const expected = Buffer.from(sign([secret], headers["webhook-id"] ?? "", timestamp, body));
    return signatures.some((one) => one.length === expected.length && timingSafeEqual(one, expected));
  });
  return valid ? "valid" : "invalid";
}
