import type pg from "pg";
import { column } from "../database/columns.ts";

/** What an inspector keeps: so many requests and so many bytes of them; the oldest go first. */
const keptMax = 20_000;
export const keptBytesMax = 64 * 1024 * 1024;
/** Old requests are looked for after so many arrivals, or so many bytes of them. */
const lookEvery = 500;
const lookEveryBytes = 4 * 1024 * 1024;
/** Most requests that one statement removes: of large ones each has hundreds of rows of its own. */
const removedMax = 500;
/** Most requests, and bytes of them, that one statement stores; one alone may have more. */
const storedMax = 128;
const storedBytesMax = 1024 * 1024;
/** Inspectors whose arrivals are counted; one that was forgotten is looked at with its next request. */
const countedMax = 10_000;

/** A request as it is to be kept. */
interface Arrival {
  readonly inspectorId: string;
  /** As JSON text. */
  readonly headers: string;
  readonly body: Buffer;
  readonly webhookId: string;
}

/** Stores requests of all inspectors. */
export interface RequestKeeper {
  /** Keeps a request, unless it is of a session that was erased: an attempt may have been under way. */
  keep(arrival: Arrival): Promise<void>;
}

interface Waiting extends Arrival {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One statement at a time stores all that wait: whoever floods an inspector takes one connection of the process, and
 * the requests that others read with have the rest.
 */
export function createRequestKeeper(pool: pg.Pool): RequestKeeper {
  const waiting: Waiting[] = [];
  const arrived = new Map<string, { requests: number; bytes: number }>();
  /** Inspectors that may have more than they keep. */
  const full = new Set<string>();
  let storing = false;

  const count = ({ inspectorId, headers, body }: Arrival): void => {
    const before = arrived.get(inspectorId) ?? { requests: lookEvery, bytes: 0 };
    const now = { requests: before.requests + 1, bytes: before.bytes + headers.length + body.length };
    const isDue = now.requests >= lookEvery || now.bytes >= lookEveryBytes;
    if (arrived.size >= countedMax) arrived.clear();
    arrived.set(inspectorId, isDue ? { requests: 0, bytes: 0 } : now);
    if (isDue) full.add(inspectorId);
  };

  const storeBatch = async (batch: readonly Waiting[]): Promise<void> => {
    try {
      await store(pool, batch);
      batch.forEach(count);
      for (const inspectorId of [...full]) {
        if ((await removeBeyond(pool, inspectorId)) < removedMax) full.delete(inspectorId);
      }
      for (const { resolve } of batch) resolve();
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  };

  const storeAll = async (): Promise<void> => {
    storing = true;
    while (waiting.length > 0) await storeBatch(takeBatch(waiting));
    storing = false;
  };

  return {
    keep: (arrival) =>
      new Promise((resolve, reject) => {
        waiting.push({ ...arrival, resolve, reject });
        if (!storing) void storeAll();
      }),
  };
}

function takeBatch(waiting: Waiting[]): Waiting[] {
  let bytes = 0;
  const end = waiting.findIndex(({ body }, index) => {
    bytes += body.length;
    return index > 0 && (index >= storedMax || bytes > storedBytesMax);
  });
  return waiting.splice(0, end < 0 ? waiting.length : end);
}

async function store(pool: pg.Pool, batch: readonly Arrival[]): Promise<void> {
  await pool.query({
    name: "inspector-keep",
    text: `
      INSERT INTO inspector_requests (inspector_id, headers, body)
      SELECT arrival.inspector_id, arrival.headers, arrival.body
      FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[])
        WITH ORDINALITY AS arrival (inspector_id, headers, body, webhook_id, position)
      JOIN inspectors ON inspectors.inspector_id = arrival.inspector_id
      WHERE NOT EXISTS (
        SELECT FROM events WHERE events.webhook_id = arrival.webhook_id AND events.payload IS NULL)
      ORDER BY arrival.position`,
    values: [
      column(
        "uuid",
        batch.map(({ inspectorId }) => inspectorId),
      ),
      column(
        "text",
        batch.map(({ headers }) => headers),
      ),
      column(
        "bytea",
        batch.map(({ body }) => body),
      ),
      column(
        "text",
        batch.map(({ webhookId }) => webhookId),
      ),
    ],
  });
}

// The length of a value that is stored apart is known without reading it.
const beyondSql = `
  DELETE FROM inspector_requests WHERE request_id IN (
    SELECT request_id FROM inspector_requests WHERE inspector_id = $1 AND request_id <= (
      SELECT request_id FROM (
        SELECT request_id, row_number() OVER newer AS requests,
          sum(octet_length(headers) + octet_length(body)) OVER newer AS bytes
        FROM inspector_requests WHERE inspector_id = $1 WINDOW newer AS (ORDER BY request_id DESC)) AS kept
      WHERE requests > $2 OR bytes > $3 ORDER BY request_id DESC LIMIT 1)
    ORDER BY request_id LIMIT ${removedMax})`;

/**
 * Removes what an inspector has beyond its bounds, the oldest first.
 *
 * @returns how many were removed: as many as one statement may when there may be more.
 */
async function removeBeyond(pool: pg.Pool, inspectorId: string): Promise<number> {
  const { rowCount } = await pool.query(beyondSql, [inspectorId, keptMax, keptBytesMax]);
  return rowCount ?? 0;
}
