import { randomBytes, randomUUID } from "node:crypto";
import { LRUCache } from "lru-cache";
import type pg from "pg";
import { inTransaction } from "../database/transaction.ts";
import { type Caller, hashSecret } from "./keys.ts";
import { createLookUps } from "./look-ups.ts";

/** How long a sign-in link works, in seconds: as long as somebody who has just started a server may need to click it. */
const linkSeconds = 3_600;
/** How long a session of the dashboard lasts, in seconds: 7 days, whether it is used or not. */
export const dashboardSessionSeconds = 7 * 86_400;

const rememberedMax = 10_000;

const newToken = (): string => randomBytes(32).toString("base64url");
const tokenPattern = /^[A-Za-z0-9_-]{43}$/;

/** Makes a sign-in link's token, which works once. Its text is answered here and never again. */
export async function createSignInLink(pool: pg.Pool): Promise<string> {
  const token = newToken();
  await pool.query(
    `WITH gone AS (DELETE FROM sign_in_links WHERE expires_at < now())
     INSERT INTO sign_in_links (token_hash, expires_at) VALUES ($1, now() + $2 * interval '1 second')`,
    [hashSecret(token), linkSeconds],
  );
  return token;
}

/** A session of the dashboard that was begun: its token goes into the cookie and is stored nowhere. */
export interface BegunSession {
  readonly token: string;
  readonly caller: Caller;
  readonly expiresAt: Date;
}

/** The session that a cookie stands for. */
interface FoundSession {
  readonly caller: Caller;
  readonly expiresAt: Date;
}

/** The sessions of the dashboard. */
export interface DashboardSessions {
  /**
   * The session of a token, or null when it has ended, its key was revoked, or it never was.
   *
   * @param from tells the address that sent it.
   * @throws Refusal rate_limited, for a token that was not right before, when too many of them wait to be looked up.
   */
  find(token: string, from: () => string): Promise<FoundSession | null>;
  /**
   * Takes a sign-in link and begins a developer's session; null when it was taken, is too old, or never was.
   *
   * @throws Refusal rate_limited, as `find`.
   */
  beginByLink(
    linkToken: string,
    from: () => string,
    formerToken: string | null,
  ): Promise<BegunSession | null>;
  /** Begins a session for whoever has a key. */
  beginByKey(caller: Caller, formerToken: string | null): Promise<BegunSession>;
  /** Ends a session. */
  end(token: string): Promise<void>;
}

export function createDashboardSessions(pool: pg.Pool): DashboardSessions {
  const right = new LRUCache<string, true>({ max: rememberedMax });
  const nameOf = (token: string): string => hashSecret(token).toString("base64");
  const hashesOf = (names: readonly string[]): Buffer[] => names.map((name) => Buffer.from(name, "base64"));
  const lookUp = async (names: readonly string[]): Promise<Map<string, FoundSession>> => {
    const { rows } = await pool.query<SessionRow>({
      name: "dashboard-sessions-find",
      text: `SELECT token_hash AS hash, dashboard_session_id AS id, only_project_id AS "projectId",
               expires_at AS "expiresAt"
             FROM dashboard_sessions LEFT JOIN api_keys USING (key_id)
             WHERE token_hash = ANY ($1) AND expires_at > now() AND revoked_at IS NULL`,
      values: [hashesOf(names)],
    });
    const found = new Map(
      rows.map(({ hash, id, projectId, expiresAt }) => [
        hash.toString("base64"),
        { caller: callerOf(id, projectId), expiresAt },
      ]),
    );
    for (const name of names) {
      if (found.has(name)) right.set(name, true);
      else right.delete(name);
    }
    return found;
  };
  const unseen = createLookUps(lookUp);
  const links = createLookUps(async (names) => {
    const { rows } = await pool.query<{ hash: Buffer }>({
      name: "sign-in-links-find",
      text: "SELECT token_hash AS hash FROM sign_in_links WHERE token_hash = ANY ($1) AND expires_at > now()",
      values: [hashesOf(names)],
    });
    return new Map(rows.map(({ hash }) => [hash.toString("base64"), true] as const));
  });

  return {
    async find(token, from) {
      if (!tokenPattern.test(token)) return null;
      const name = nameOf(token);
      if (!right.has(name)) return unseen.find(name, from());
      // Asked each time, never remembered: who has signed out is out at once, in every process.
      return (await lookUp([name])).get(name) ?? null;
    },
    async beginByLink(linkToken, from, formerToken) {
      if ((await links.find(nameOf(linkToken), from())) === null) return null;
      return inTransaction(pool, async (client) => {
        // Of two that come with one link at once, one deletes the row.
        const { rowCount } = await client.query(
          "DELETE FROM sign_in_links WHERE token_hash = $1 AND expires_at > now()",
          [hashSecret(linkToken)],
        );
        return rowCount === 1 ? begin(client, null, null, formerToken) : null;
      });
    },
    beginByKey(caller, formerToken) {
      const projectId = caller.kind === "project" ? caller.projectId : null;
      return inTransaction(pool, (client) => begin(client, caller.keyId, projectId, formerToken));
    },
    async end(token) {
      await pool.query("DELETE FROM dashboard_sessions WHERE token_hash = $1", [hashSecret(token)]);
    },
  };
}

interface SessionRow {
  readonly hash: Buffer;
  readonly id: string;
  readonly projectId: string | null;
  readonly expiresAt: Date;
}

/** A fresh token for each sign-in; the session that the browser had before ends with it. */
async function begin(
  client: pg.PoolClient,
  keyId: string | null,
  projectId: string | null,
  formerToken: string | null,
): Promise<BegunSession> {
  const token = newToken();
  const id = randomUUID();
  await client.query("DELETE FROM dashboard_sessions WHERE expires_at < now() OR token_hash = $1", [
    formerToken === null ? null : hashSecret(formerToken),
  ]);
  const { rows } = await client.query<{ expiresAt: Date }>(
    `INSERT INTO dashboard_sessions (dashboard_session_id, token_hash, key_id, only_project_id, expires_at)
     VALUES ($1, $2, $3, $4, now() + $5 * interval '1 second') RETURNING expires_at AS "expiresAt"`,
    [id, hashSecret(token), keyId, projectId, dashboardSessionSeconds],
  );
  const { expiresAt } = rows[0] as { expiresAt: Date };
  return { token, caller: callerOf(id, projectId), expiresAt };
}

/** Requests are counted for each session as they are for each key. */
const callerOf = (id: string, projectId: string | null): Caller =>
  projectId === null
    ? { kind: "developer", keyId: `dashboard:${id}` }
    : { kind: "project", keyId: `dashboard:${id}`, projectId };
