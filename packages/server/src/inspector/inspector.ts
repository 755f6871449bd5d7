import { randomBytes, randomUUID } from "node:crypto";
import type { InspectedRequest } from "@sendoff/contract";
import type pg from "pg";
import { hashSecret } from "../tenancy/keys.ts";

/** How many requests an inspector keeps; the oldest go first. */
const keptMax = 20_000;
/** Old requests are dropped once in so many arrivals. */
const dropEvery = 500;

/** Makes an inspector for a project. Its token is part of its address and is answered here alone. */
export async function createInspector(pool: pg.Pool, projectId: string): Promise<string> {
  const token = randomBytes(24).toString("base64url");
  await pool.query("INSERT INTO inspectors (inspector_id, project_id, token_hash) VALUES ($1, $2, $3)", [
    randomUUID(),
    projectId,
    hashSecret(token),
  ]);
  return token;
}

/** The id of the inspector of a token, or null. */
export async function findInspector(pool: pg.Pool, token: string): Promise<string | null> {
  const { rows } = await pool.query<{ id: string }>({
    name: "inspector-find",
    text: "SELECT inspector_id AS id FROM inspectors WHERE token_hash = $1",
    values: [hashSecret(token)],
  });
  return rows[0]?.id ?? null;
}

/** Keeps a request as it arrived. */
export async function keepRequest(
  pool: pg.Pool,
  inspectorId: string,
  headers: Record<string, string>,
  body: Buffer,
): Promise<void> {
  const { rows } = await pool.query<{ id: number }>({
    name: "inspector-keep",
    text: `INSERT INTO inspector_requests (inspector_id, headers, body) VALUES ($1, $2, $3)
           RETURNING request_id AS id`,
    values: [inspectorId, JSON.stringify(headers), body],
  });
  const id = rows[0]?.id ?? 0;
  if (id % dropEvery !== 0) return;
  await pool.query(
    `DELETE FROM inspector_requests WHERE inspector_id = $1 AND request_id <=
       (SELECT request_id FROM inspector_requests WHERE inspector_id = $1
        ORDER BY request_id DESC OFFSET $2 LIMIT 1)`,
    [inspectorId, keptMax],
  );
}

interface RequestRow {
  readonly id: number;
  readonly receivedAt: Date;
  readonly headers: string;
  readonly body: Buffer;
}

const columns = `request_id AS id, received_at AS "receivedAt", headers, body`;

const view = (row: RequestRow): InspectedRequest => ({
  id: String(row.id),
  receivedAt: row.receivedAt.toISOString(),
  headers: JSON.parse(row.headers) as Record<string, string>,
  body: row.body.toString("utf8"),
});

/** Requests after a cursor, oldest first. */
export async function requestsAfter(
  pool: pg.Pool,
  inspectorId: string,
  after: string,
  limit: number,
): Promise<InspectedRequest[]> {
  const { rows } = await pool.query<RequestRow>(
    `SELECT ${columns} FROM inspector_requests WHERE inspector_id = $1 AND request_id > $2
     ORDER BY request_id LIMIT $3`,
    [inspectorId, after, limit],
  );
  return rows.map(view);
}

/** The latest requests, newest first. */
export async function latestRequests(
  pool: pg.Pool,
  inspectorId: string,
  limit: number,
): Promise<InspectedRequest[]> {
  const { rows } = await pool.query<RequestRow>(
    `SELECT ${columns} FROM inspector_requests WHERE inspector_id = $1 ORDER BY request_id DESC LIMIT $2`,
    [inspectorId, limit],
  );
  return rows.map(view);
}
