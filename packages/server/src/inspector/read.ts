import type { InspectedRequest } from "@sendoff/contract";
import type pg from "pg";

/** Most bytes of headers and bodies that one answer has; a request alone may have more. Bodies are 1 MiB at most. */
const pageBytesMax = 1024 * 1024;

/** A kept request. */
export interface RequestRow {
  readonly id: number;
  readonly receivedAt: Date;
  readonly headers: string;
  readonly body: Buffer;
}

/** Rows of a page, and whether there were more among those that it was taken from. */
export interface RequestPage {
  readonly rows: readonly RequestRow[];
  readonly cut: boolean;
}

/**
 * A page of kept requests that ends by its bytes: whoever may post may post a thousand of a megabyte, and what is
 * answered stands in memory as a whole.
 *
 * @param where SQL: the WHERE of `inspector_requests` with its `inspectors`.
 * @param order of the ids.
 * @param limit most rows; one more is looked at, to know whether there is one.
 */
export async function readRequests(
  db: pg.Pool,
  where: string,
  order: "ASC" | "DESC",
  limit: number,
  values: readonly unknown[],
): Promise<RequestPage> {
  const { rows } = await db.query<RequestRow & { found: number }>(
    `SELECT id, "receivedAt", headers, body, found FROM (
       SELECT page.*, count(*) OVER () AS found, row_number() OVER (ORDER BY id ${order}) AS position,
         sum(bytes) OVER (ORDER BY id ${order}) AS through
       FROM (
         SELECT request_id AS id, received_at AS "receivedAt", headers, body,
           octet_length(headers) + octet_length(body) AS bytes
         FROM inspector_requests JOIN inspectors USING (inspector_id) ${where}
         ORDER BY request_id ${order} LIMIT ${limit + 1}) AS page) AS measured
     WHERE position = 1 OR position <= ${limit} AND through <= ${pageBytesMax} ORDER BY position`,
    [...values],
  );
  return { rows, cut: (rows[0]?.found ?? 0) > rows.length };
}

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
  const where = "WHERE inspector_id = $1 AND request_id > $2";
  const { rows } = await readRequests(pool, where, "ASC", limit, [inspectorId, after]);
  return rows.map(viewRequest);
}

/** A kept request with the beginning of its body. */
export interface RequestPreview {
  readonly receivedAt: Date;
  readonly webhookId: string | null;
  readonly begin: Buffer;
  readonly bytes: number;
}

/** The latest requests, newest first, each with so many bytes of its body at most. */
export async function latestPreviews(
  pool: pg.Pool,
  inspectorId: string,
  limit: number,
  bytesMax: number,
): Promise<RequestPreview[]> {
  const { rows } = await pool.query<RequestPreview>(
    `SELECT received_at AS "receivedAt", headers::json ->> 'webhook-id' AS "webhookId",
       substring(body FROM 1 FOR $3) AS begin, octet_length(body) AS bytes
     FROM inspector_requests WHERE inspector_id = $1 ORDER BY request_id DESC LIMIT $2`,
    [inspectorId, limit, bytesMax],
  );
  return rows;
}
