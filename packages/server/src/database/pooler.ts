import { type Connection, Hosts, openClient, type SessionClient } from "./client.ts";

/** A pooler stands before PostgreSQL that gives a session another server connection for each transaction. */
export class PoolerError extends Error {
  constructor() {
    super(
      "DATABASE_URL leads to a pooler in transaction or statement mode, in which prepared statements, session settings, advisory locks and LISTEN do not last. Set pool_mode = session for this database in the pooler, or point DATABASE_URL at PostgreSQL itself.",
    );
  }
}

/** How often the question is put. Only other clients that take and give back connections at that very moment hide the answer. */
const rounds = 5;

/**
 * Refuses a pooler whose sessions do not keep their server connection. A session that keeps it never has another process
 * of PostgreSQL, and never one that another session has: so there are no false alarms. Where it is not kept, the second
 * session either gets the process that the first one had, or holds one of the others while the first one asks again.
 *
 * Sessions are used that have no settings: these would stay in server connections that others get.
 *
 * @throws PoolerError; ConnectError when PostgreSQL is not reached.
 */
export async function refuseTransactionPooling(connection: Connection): Promise<void> {
  const hosts = new Hosts(connection);
  const first = await openClient(hosts, { application_name: "sendoff start" });
  try {
    // PostgreSQL tells the number of the process that answers; a pooler makes one up.
    if ((await processOf(first)) === first.processID) return;
    const second = await openClient(hosts, { application_name: "sendoff start" });
    try {
      for (let round = 0; round < rounds; round += 1) {
        if (await isShared(first, second)) throw new PoolerError();
      }
    } finally {
      await second.end();
    }
  } finally {
    await first.end();
  }
}

async function isShared(first: SessionClient, second: SessionClient): Promise<boolean> {
  const before = await processOf(first);
  try {
    await second.query("BEGIN");
  } catch (error) {
    if (error instanceof Error && error.message.includes("statement pooling")) return true;
    throw error;
  }
  if ((await processOf(second)) === before && second.at === first.at) return true;
  const after = await processOf(first);
  await second.query("ROLLBACK");
  return after !== before;
}

async function processOf(client: SessionClient): Promise<number> {
  const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  return rows[0]?.pid ?? 0;
}
