/** Who may use an installation: one process at a time. */
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { type Connection, Hosts, openClient } from "./client.ts";

/** Key of the advisory lock: "SENDOFF" in ASCII (23438625522796102 as a bigint). Used for nothing else. */
const INSTALLATION_KEY = 0x53454e444f4646n;
/** A killed process's lock goes when PostgreSQL notices the closed connection, mostly within milliseconds. */
const PATIENCE_MS = 1_000;
const POLL_MS = 50;
const RECONNECT_MS = 1_000;

/**
 * Holds the installation for this process until release() or death: an advisory lock of a session of its own in
 * the database that `connection` names, which ends with the session's connection. A connection that is lost is
 * made again, and the lock taken again, in the background, once a second until it succeeds.
 *
 * Tries for about a second, then null: another process holds it. That one alone stops an embedded PostgreSQL.
 * Rejects with the error of `pg` when the first connection fails.
 */
export async function holdInstallation(connection: Connection): Promise<{ release(): Promise<void> } | null> {
  let session = await openSession(connection);
  if (!(await takeLock(session, PATIENCE_MS))) return null;

  const ending = new AbortController();
  const keep = async () => {
    while (true) {
      await session.lost;
      const next = await takeAgain(connection, ending.signal);
      if (next === null) return;
      session = next;
    }
  };
  const kept = keep();
  return {
    async release() {
      ending.abort();
      await session.client.end().catch(() => {});
      await kept;
    },
  };
}

interface Session {
  client: pg.Client;
  /** Resolves when the connection is closed, by whichever side. */
  lost: Promise<void>;
}

async function openSession(connection: Connection): Promise<Session> {
  const client = await openClient(new Hosts(connection), { application_name: "sendoff installation" });
  const lost = new Promise<void>((resolve) => {
    client.once("end", resolve);
  });
  return { client, lost };
}

/** Tries until the time is over. Without the lock the session is closed. */
async function takeLock({ client }: Session, patienceMs: number): Promise<boolean> {
  const begun = performance.now();
  let taken = false;
  try {
    while (true) {
      const { rows } = await client.query("select pg_try_advisory_lock($1::bigint) as taken", [
        String(INSTALLATION_KEY),
      ]);
      taken = rows[0]?.taken === true;
      if (taken || performance.now() - begun >= patienceMs) return taken;
      await sleep(POLL_MS);
    }
  } finally {
    if (!taken) await client.end().catch(() => {});
  }
}

/** A new session that holds the lock, or null once the signal is given. */
async function takeAgain(connection: Connection, ending: AbortSignal): Promise<Session | null> {
  while (!ending.aborted) {
    try {
      const session = await openSession(connection);
      if (await takeLock(session, 0)) {
        if (!ending.aborted) return session;
        await session.client.end().catch(() => {});
      }
    } catch {
      // The server is down or still starting. There is nobody to tell: the wait is the answer.
    }
    await sleep(RECONNECT_MS, undefined, { signal: ending }).catch(() => {});
  }
  return null;
}
