import { randomBytes, randomUUID } from "node:crypto";
import type { InspectedRequest } from "@sendoff/contract";
import type pg from "pg";
import { inTransaction } from "../database/transaction.ts";
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

/** Keeps a request as it arrived, unless it is of a session that was erased: an attempt may have been under way. */
export async function keepRequest(
  pool: pg.Pool,
  inspectorId: string,
  headers: Record<string, string>,
  body: Buffer,
): Promise<void> {
  const { rows } = await pool.query<{ id: number }>({
    name: "inspector-keep",
    text: `INSERT INTO inspector_requests (inspector_id, headers, body)
           SELECT $1::uuid, $2::text, $3::bytea WHERE NOT EXISTS (SELECT FROM events WHERE webhook_id = $4 AND payload IS NULL)
           RETURNING request_id AS id`,
    values: [inspectorId, JSON.stringify(headers), body, headers["webhook-id"] ?? ""],
  });
  const id = rows[0]?.id ?? 1;
  if (id % dropEvery !== 0) return;
  await pool.query(
    `DELETE FROM inspector_requests WHERE inspector_id = $1 AND request_id <=
       (SELECT request_id FROM inspector_requests WHERE inspector_id = $1
        ORDER BY request_id DESC OFFSET $2 LIMIT 1)`,
    [inspectorId, keptMax],
  );
}

/**
 * How long a removal waits for the requests that are being kept, in milliseconds, before it tries again. After a second
 * PostgreSQL ends an autovacuum that stands in the way.
 */
const barrierMs = 1_500;
const barrierTriesMax = 10;

/**
 * Removes what arrived with one of these webhook-ids, at whichever inspector. The events have no body any more when this
 * is called, and that is committed: what begins to be kept from now on looks and is not kept (keepRequest). What began
 * before is waited for, by a lock that is given back at once.
 *
 * @returns how many were removed.
 */
export async function removeRequests(pool: pg.Pool, webhookIds: readonly string[]): Promise<number> {
  if (webhookIds.length === 0) return 0;
  for (let tries = 1; ; tries++) {
    try {
      await inTransaction(pool, async (client) => {
        await client.query(`SET LOCAL lock_timeout = ${barrierMs}`);
        await client.query("LOCK TABLE inspector_requests IN SHARE ROW EXCLUSIVE MODE");
      });
      break;
    } catch (error) {
      if ((error as { code?: string }).code !== "55P03" || tries >= barrierTriesMax) throw error;
    }
  }
  const { rowCount } = await pool.query(
    `DELETE FROM inspector_requests
     WHERE EXISTS (SELECT FROM unnest($1::text[]) AS id WHERE position('"' || id || '"' in headers) > 0)`,
    [webhookIds],
  );
  return rowCount ?? 0;
}

/**
 * Removes requests that arrived before a moment, the oldest first.
 *
 * @returns how many were removed: as many as `limit` when there may be more.
 */
export async function removeRequestsBefore(pool: pg.Pool, before: Date, limit: number): Promise<number> {
  const { rowCount } = await pool.query(
    `DELETE FROM inspector_requests WHERE request_id IN (
       SELECT request_id FROM inspector_requests WHERE received_at < $1 ORDER BY received_at LIMIT $2)`,
    [before, limit],
  );
  return rowCount ?? 0;
}

/** A kept request. */
export interface RequestRow {
  readonly id: number;
  readonly receivedAt: Date;
  readonly headers: string;
  readonly body: Buffer;
}

/** Columns of a {@link RequestRow}. */
export const requestColumns = `request_id AS id, received_at AS "receivedAt", headers, body`;

/** A kept request as it is answered. */
export const viewRequest = (row: RequestRow): InspectedRequest => ({
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
    `SELECT ${requestColumns} FROM inspector_requests WHERE inspector_id = $1 AND request_id > $2
     ORDER BY request_id LIMIT $3`,
    [inspectorId, after, limit],
  );
  return rows.map(viewRequest);
}

/** The latest requests, newest first. */
export async function latestRequests(
  pool: pg.Pool,
  inspectorId: string,
  limit: number,
): Promise<InspectedRequest[]> {
  const { rows } = await pool.query<RequestRow>(
    `SELECT ${requestColumns} FROM inspector_requests WHERE inspector_id = $1 ORDER BY request_id DESC LIMIT $2`,
    [inspectorId, limit],
  );
  return rows.map(viewRequest);
}
