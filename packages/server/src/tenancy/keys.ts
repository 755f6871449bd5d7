import { createHash, randomBytes, randomUUID } from "node:crypto";
import { LRUCache } from "lru-cache";
import type pg from "pg";
import { createLookUps } from "./look-ups.ts";

/** Who sends a request: a developer key sees every project of the installation, a project key sees one. */
export type Caller =
  | { readonly kind: "developer"; readonly keyId: string }
  | { readonly kind: "project"; readonly keyId: string; readonly projectId: string };

const keyPattern = /^(dk|sk)_[A-Za-z0-9_-]{43}$/;
/** How a key begins, as it is stored and shown: enough to find it in a list, and far too little to guess the rest. */
export const prefixLength = 9;
/**
 * How long a key that was found is believed without asking again, in milliseconds: a revoked one is refused after so long.
 * It is counted from the asking, so that an answer that was under way for long is not believed for longer (ADR 0052).
 */
const believedMs = 500;
const believedMax = 10_000;

/** Hash under which a key or token is stored. Keys are 256 random bits, so a plain hash cannot be searched. */
export function hashSecret(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}

/** Makes and stores a key. Its text is answered here and never again. */
export async function createKey(
  db: pg.Pool | pg.PoolClient,
  owner: { kind: "developer" } | { kind: "project"; projectId: string },
): Promise<{ readonly id: string; readonly key: string }> {
  const id = randomUUID();
  const key = `${owner.kind === "developer" ? "dk" : "sk"}_${randomBytes(32).toString("base64url")}`;
  await db.query(
    "INSERT INTO api_keys (key_id, kind, project_id, key_hash, prefix) VALUES ($1, $2, $3, $4, $5)",
    [
      id,
      owner.kind,
      owner.kind === "project" ? owner.projectId : null,
      hashSecret(key),
      key.slice(0, prefixLength),
    ],
  );
  return { id, key };
}

/** Whether a key opens something now. */
export async function isKeyOfUse(db: pg.Pool, key: string): Promise<boolean> {
  const { rowCount } = await db.query("SELECT FROM api_keys WHERE key_hash = $1 AND revoked_at IS NULL", [
    hashSecret(key),
  ]);
  return rowCount === 1;
}

/**
 * Notes that a key is used, at most once a minute. Nobody waits for it, and it may fail: on a server that does not write,
 * to know when a key was used matters least.
 */
function noteUse(pool: pg.Pool, keyId: string): void {
  pool
    .query({
      name: "key-used",
      text: `UPDATE api_keys SET last_used_at = now()
             WHERE key_id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')`,
      values: [keyId],
    })
    .catch(() => {});
}

interface FoundKey {
  readonly hash: Buffer;
  readonly keyId: string;
  readonly projectId: string | null;
  readonly noteUse: boolean;
}

/** Looks keys up. */
export interface KeyRing {
  /**
   * The caller whose key this is, or null when it is none of this installation's.
   *
   * @param from tells the address that sent it.
   * @throws Refusal rate_limited, for a key that was not right before, when too many of them wait to be looked up.
   */
  find(key: string, from: () => string): Promise<Caller | null>;
}

export function createKeyRing(pool: pg.Pool): KeyRing {
  // Keys that clients send, each with the name under which it is known here. A request asks for it several times.
  const names = new LRUCache<string, string>({ max: believedMax });
  const nameOf = (key: string): string => {
    const known = names.get(key);
    if (known !== undefined) return known;
    const name = hashSecret(key).toString("base64");
    names.set(key, name);
    return name;
  };
  const believed = new LRUCache<string, Caller>({ max: believedMax, ttl: believedMs });
  const right = new LRUCache<string, true>({ max: believedMax });
  /** Look-ups under way: requests that bring the same key at the same moment share one. */
  const asked = new Map<string, Promise<Caller | null>>();

  const lookUp = async (those: readonly string[]): Promise<Map<string, Caller>> => {
    const askedMs = performance.now();
    const { rows } = await pool.query<FoundKey>({
      name: "keys-find",
      text: `SELECT key_hash AS hash, key_id AS "keyId", project_id AS "projectId",
               last_used_at IS NULL OR last_used_at < now() - interval '1 minute' AS "noteUse"
             FROM api_keys WHERE key_hash = ANY ($1) AND revoked_at IS NULL`,
      values: [those.map((name) => Buffer.from(name, "base64"))],
    });
    const found = new Map<string, Caller>();
    for (const { hash, keyId, projectId, noteUse: isNoted } of rows) {
      const name = hash.toString("base64");
      const caller: Caller =
        projectId === null ? { kind: "developer", keyId } : { kind: "project", keyId, projectId };
      if (isNoted) noteUse(pool, keyId);
      found.set(name, caller);
      believed.set(name, caller, { start: askedMs });
      right.set(name, true);
    }
    for (const name of those) if (!found.has(name)) right.delete(name);
    return found;
  };
  const unseen = createLookUps(lookUp);
  /** A key that was right before is no guess: it waits for nobody. */
  const lookUpAgain = async (name: string): Promise<Caller | null> =>
    (await lookUp([name])).get(name) ?? null;

  return {
    async find(key, from) {
      if (!keyPattern.test(key)) return null;
      const name = nameOf(key);
      const cached = believed.get(name);
      if (cached !== undefined) return cached;
      if (!right.has(name)) return unseen.find(name, from());
      const under = asked.get(name) ?? lookUpAgain(name).finally(() => asked.delete(name));
      asked.set(name, under);
      return under;
    },
  };
}
