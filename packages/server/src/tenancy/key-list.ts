import type pg from "pg";
import { hashSecret, prefixLength } from "./keys.ts";

/** What is known of a key; the key itself is not. */
export interface KeyRow {
  readonly id: string;
  /** How it begins; null: it was made before that was kept. */
  readonly prefix: string | null;
  readonly kind: "developer" | "project";
  /** null: a developer key. */
  readonly projectId: string | null;
  readonly createdAt: Date;
  /** To the minute. null: it was not used since that is noted. */
  readonly lastUsedAt: Date | null;
  readonly revokedAt: Date | null;
}

/** A key with its hash, to find it by. */
interface FindableKey extends KeyRow {
  readonly hash: Buffer;
}

async function readKeys(pool: pg.Pool): Promise<FindableKey[]> {
  const { rows } = await pool.query<FindableKey>(
    `SELECT key_id AS id, prefix, kind, project_id AS "projectId", created_at AS "createdAt",
       last_used_at AS "lastUsedAt", revoked_at AS "revokedAt", key_hash AS hash
     FROM api_keys ORDER BY created_at, key_id`,
  );
  return rows;
}

/** Every key, also those that were revoked. Oldest first. */
export async function listKeys(pool: pg.Pool): Promise<KeyRow[]> {
  return (await readKeys(pool)).map(({ hash: _hash, ...row }) => row);
}

/** Shortest part of an id or a key that is taken for it: shorter ones are rather a slip of the keyboard. */
const partMin = 4;

/**
 * The keys that somebody means, by an id, by how an id or a key begins, or by a whole key. A whole key is found by its hash,
 * so also one whose beginning was not kept.
 */
function keysMeant<Key extends Pick<FindableKey, "id" | "prefix" | "hash">>(
  keys: readonly Key[],
  given: string,
): Key[] {
  const text = given.trim().replace(/…$/, "");
  if (text.length < partMin) return [];
  if (!/^[ds]k_/.test(text)) return keys.filter(({ id }) => id.startsWith(text.toLowerCase()));
  const hash = hashSecret(text);
  const whole = keys.filter((key) => key.hash.equals(hash));
  if (whole.length > 0) return whole;
  // More of a key than is kept of it says no more, and a wrong rest would be taken for right.
  if (text.length > prefixLength) return [];
  return keys.filter(({ prefix }) => prefix?.startsWith(text) ?? false);
}

/** What came of a revocation. */
export type Revoked =
  | { readonly outcome: "revoked" | "was-revoked"; readonly key: KeyRow }
  /** None, or several: then nothing is revoked. */
  | { readonly outcome: "not-one"; readonly keys: readonly KeyRow[] };

/** Revokes the one key that is meant. Every process refuses it within a second (keys.ts). */
export async function revokeKey(pool: pg.Pool, given: string): Promise<Revoked> {
  const meant = keysMeant(await readKeys(pool), given);
  const [only] = meant;
  if (only === undefined || meant.length > 1) return { outcome: "not-one", keys: meant };
  const { rows } = await pool.query<{ revokedAt: Date }>(
    `UPDATE api_keys SET revoked_at = now() WHERE key_id = $1 AND revoked_at IS NULL RETURNING revoked_at AS "revokedAt"`,
    [only.id],
  );
  const [done] = rows;
  return done === undefined
    ? { outcome: "was-revoked", key: only }
    : { outcome: "revoked", key: { ...only, revokedAt: done.revokedAt } };
}
