import { timingSafeEqual } from "node:crypto";
import type { ProjectInspectedRequest, ProjectInspectorQuery } from "@sendoff/contract";
import type pg from "pg";
import { decodeCursor, encodeCursor } from "../database/cursor.ts";
import { Filters } from "../database/filters.ts";
import { sign } from "../secrets/signature.ts";
import { type RequestRow, readRequests, viewRequest } from "./read.ts";

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
  const order = query.after === undefined ? "DESC" : "ASC";
  const { rows, cut } = await readRequests(pool, filters.where, order, query.limit, filters.values);
  const last = rows.at(-1);
  const more = query.after === undefined && cut && last !== undefined;
  const requests: ProjectInspectedRequest[] = [];
  const turns = takeTurns();
  for (const row of rows)
    requests.push({ ...viewRequest(row), signature: await worthOf(row, secrets, turns) });
  return { requests, nextCursor: more ? encodeCursor([last.id]) : null };
}

const signaturesMax = 16;

/** After so much work all else in the process gets a turn, in bytes that are signed. */
const turnBytes = 2 * 1024 * 1024;
/** What a signature costs whatever its length, as bytes. */
const signatureBytes = 2 * 1024;

/** Counts work: a page of large requests times all secrets of a project takes longer than others may wait. */
function takeTurns(): (bytes: number) => Promise<void> {
  let done = 0;
  return async (bytes) => {
    done += bytes + signatureBytes;
    if (done < turnBytes) return;
    done = 0;
    await new Promise((resolve) => setImmediate(resolve));
  };
}

/** Whether one of the signatures was made with one of the secrets. What Sendoff sends is UTF-8. */
async function worthOf(
  row: RequestRow,
  secrets: readonly string[],
  turns: (bytes: number) => Promise<void>,
): Promise<ProjectInspectedRequest["signature"]> {
  const headers = JSON.parse(row.headers) as Record<string, string>;
  const given = headers["webhook-signature"];
  if (given === undefined) return "none";
  const signatures = given.split(" ", signaturesMax).map((one) => Buffer.from(one));
  const timestamp = Number(headers["webhook-timestamp"]);
  const body = row.body.toString("utf8");
  for (const secret of secrets) {
    const expected = Buffer.from(sign([secret], headers["webhook-id"] ?? "", timestamp, body));
    const isIt = (one: Buffer): boolean => one.length === expected.length && timingSafeEqual(one, expected);
    if (signatures.some(isIt)) return "valid";
    await turns(row.body.length);
  }
  return "invalid";
}
