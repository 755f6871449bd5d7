import { createHash, randomBytes, randomUUID } from "node:crypto";
import { LRUCache } from "lru-cache";
import type pg from "pg";
import { createLookUps } from "./look-ups.ts";

/** Who sends a request: a developer key sees every project of the installation, a project key sees one. */
export type Caller =
  | { readonly kind: "developer"; readonly keyId: string }
  | { readonly kind: "project"; readonly keyId: string; readonly projectId: string };

const keyPattern = /^(dk|sk)_[A-Za-z0-9_-]{43}$/;
/** How long a key that was found is believed without asking again, in milliseconds: a revoked one dies this late. */
const believedMs = 2_000;
const believedMax = 10_000;

/** Hash under which a key or token is stored. Keys are 256 random bits, so a plain hash cannot be searched. */
export function hashSecret(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}

/** Makes and stores a key. Its text is answered here and never again. */
export async function createKey(
  db: pg.Pool | pg.PoolClient,
  owner: { kind: "developer" } | { kind: "project"; projectId: string },
): Promise<string> {
  const key = `${owner.kind === "developer" ? "dk" : "sk"}_${randomBytes(32).toString("base64url")}`;
  await db.query("INSERT INTO api_keys (key_id, kind, project_id, key_hash) VALUES ($1, $2, $3, $4)", [
    randomUUID(),
    owner.kind,
    owner.kind === "project" ? owner.projectId : null,
    hashSecret(key),
  ]);
  return key;
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
    const { rows } = await pool.query<{ hash: Buffer; keyId: string; projectId: string | null }>({
      name: "keys-find",
      text: `SELECT key_hash AS hash, key_id AS "keyId", project_id AS "projectId"
             FROM api_keys WHERE key_hash = ANY ($1) AND revoked_at IS NULL`,
      values: [those.map((name) => Buffer.from(name, "base64"))],
    });
    const found = new Map<string, Caller>();
    for (const { hash, keyId, projectId } of rows) {
      const name = hash.toString("base64");
      const caller: Caller =
        projectId === null ? { kind: "developer", keyId } : { kind: "project", keyId, projectId };
      found.set(name, caller);
      believed.set(name, caller);
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
