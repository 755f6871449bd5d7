import { randomBytes, randomUUID } from "node:crypto";
import type pg from "pg";
import { inTransaction } from "../database/transaction.ts";
import { postTokenLength } from "../egress/inspector-url.ts";
import { hashSecret } from "../tenancy/keys.ts";

/** Makes an inspector for a project. Its token is part of its address and is answered here alone. */
export async function createInspector(db: pg.Pool | pg.PoolClient, projectId: string): Promise<string> {
  const token = randomBytes(24).toString("base64url");
  await db.query("INSERT INTO inspectors (inspector_id, project_id, token_hash) VALUES ($1, $2, $3)", [
    randomUUID(),
    projectId,
    hashSecret(token),
  ]);
  return token;
}

/** What a request wants of an inspector. To read it needs its own token; to post to it the hash of that is enough. */
export type Purpose = "read" | "post";

/** The ids of the inspectors that tokens open. */
export async function findInspectors(
  pool: pg.Pool,
  tokens: readonly string[],
  purpose: Purpose,
): Promise<Map<string, string>> {
  // Several tokens may stand for one hash: that which reads, and that which posts.
  const hashes = tokens.flatMap((token) => {
    const posts = purpose === "post" && token.length === postTokenLength;
    return [hashSecret(token), ...(posts ? [Buffer.from(token, "base64url")] : [])].map((hash) => ({
      token,
      hash,
    }));
  });
  const { rows } = await pool.query<{ id: string; hash: Buffer }>({
    name: "inspectors-find",
    text: "SELECT inspector_id AS id, token_hash AS hash FROM inspectors WHERE token_hash = ANY ($1)",
    values: [hashes.map(({ hash }) => hash)],
  });
  const ids = new Map(rows.map(({ id, hash }) => [hash.toString("base64"), id]));
  const found = new Map<string, string>();
  for (const { token, hash } of hashes) {
    const id = ids.get(hash.toString("base64"));
    if (id !== undefined) found.set(token, id);
  }
  return found;
}

/**
 * How long a removal waits for the requests that are being kept, in milliseconds, before it tries again. After a second
 * PostgreSQL ends an autovacuum that stands in the way.
 */
const barrierMs = 1_500;
const barrierTriesMax = 10;

/**
 * Removes what arrived with one of these webhook-ids, at whichever inspector. The events have no body any more when this
 * is called, and that is committed: what begins to be kept from now on looks and is not kept (keep.ts). What began
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
