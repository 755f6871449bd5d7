import * as statements from "./postgres-statements.ts";
import { type Accepted, type Claim, ClaimLost, type Store, type StoredEvent } from "./store.ts";

/** What statements are sent to. A client of `pg` is one. */
export interface PostgresClient {
  query(
    text: string,
    values?: unknown[],
  ): Promise<{ readonly rows: unknown[]; readonly rowCount?: number | null }>;
}

/** Your own pool, or what does the same. A `Pool` of `pg` is one. */
export interface PostgresPool<Client extends PostgresClient = PostgresClient> extends PostgresClient {
  connect(): Promise<Client & { release(error?: Error | boolean): void }>;
}

export interface PostgresStoreOptions {
  /** Tells receivers apart that share a database and may know the same session. "default" by default. */
  readonly name?: string;
}

interface ClaimedRow {
  readonly id: string;
  readonly kind: Claim["kind"];
  readonly session: string;
  readonly event: string;
  readonly attempts: number;
  readonly fence: string;
  readonly body: string;
  readonly webhook_id: string;
  readonly age_ms: number;
}

/**
 * Keeps events in PostgreSQL, in two tables that it makes: `sendoff_events` and `sendoff_work`. A handler's
 * `context.transaction` gives it a client in a transaction: what is written with that happens exactly once.
 *
 * A commit must be safe when it is told: with `synchronous_commit` off a 2xx would promise too much.
 */
export function postgresStore<Client extends PostgresClient = PostgresClient>(
  pool: PostgresPool<Client>,
  { name = "default" }: PostgresStoreOptions = {},
): Store<Client> {
  const rowsOf = async <Row>(text: string, values: unknown[]): Promise<Row[]> =>
    (await pool.query(text, values)).rows as Row[];

  return {
    durable: true,
    setUp: () =>
      inTransaction(pool, async (client) => {
        for (const statement of statements.setUpStatements) await client.query(statement);
      }),
    async accept(events) {
      const column = <Value>(of: (event: (typeof events)[number]) => Value): Value[] => events.map(of);
      const rows = await rowsOf<{ accepted: Accepted }>(statements.accept, [
        name,
        column(({ session }) => session),
        column(({ event }) => event),
        column(({ body }) => body),
        column(({ digest }) => digest),
        column(({ webhookId }) => webhookId),
        column(({ work }) => work.includes("event")),
        column(({ work }) => work.includes("look")),
      ]);
      const accepted = rows.map((row) => row.accepted);
      const again = events.filter((_, index) => accepted[index] === "duplicate");
      if (again.length > 0) {
        await pool.query(statements.refresh, [
          name,
          again.map(({ session }) => session),
          again.map(({ event }) => event),
          again.map(({ body }) => body),
        ]);
      }
      return accepted;
    },
    async claim(limit, leaseMs) {
      const rows = await rowsOf<ClaimedRow>(statements.claim, [name, limit, leaseMs]);
      return rows.map(({ id, kind, session, event, attempts, fence, body, webhook_id, age_ms }) => ({
        ...{ id: String(id), kind, session, event, body, webhookId: webhook_id, ageMs: age_ms },
        ...{ attempt: attempts, fence: Number(fence) },
      }));
    },
    extend: async (claims, leaseMs) =>
      idsOf(await rowsOf(statements.extend, [...heldOf(claims), Math.round(leaseMs)])),
    done: async (claims) => idsOf(await rowsOf(statements.done, heldOf(claims))),
    async again({ id, fence }, delayMs, error) {
      await pool.query(statements.again, [id, fence, delayMs, error]);
    },
    async bury({ id, fence }, error) {
      await pool.query(statements.bury, [id, fence, error]);
    },
    transact: (claim, act) =>
      inTransaction(pool, async (client) => {
        // First: it locks the row, so nobody can take the work over while the effect is being made.
        const { rows } = await client.query(statements.done, heldOf([claim]));
        if (rows.length === 0) throw new ClaimLost(claim);
        return act(client);
      }),
    async session(session) {
      const rows = await rowsOf<{ event: string; body: string; age_ms: number }>(statements.session, [
        name,
        session,
      ]);
      return rows.map(({ event, body, age_ms }): StoredEvent => ({ event, body, ageMs: age_ms }));
    },
    async join({ id, fence }, { session, event, body }) {
      await pool.query(statements.join, [id, fence, name, session, event, body]);
    },
    async dead(limit) {
      const rows = await rowsOf<{
        id: string;
        session: string;
        event: string;
        body: string;
        attempts: number;
        error: string;
      }>(statements.dead, [name, limit]);
      return rows.map(({ id, ...row }) => ({ ...row, id: String(id) }));
    },
    async revive(id) {
      if (!/^\d{1,18}$/.test(id)) return false;
      return (await rowsOf(statements.revive, [name, id])).length > 0;
    },
    async forget(olderThanMs) {
      const { rowCount } = await pool.query(statements.forget, [name, olderThanMs]);
      return rowCount ?? 0;
    },
  };
}

const heldOf = (claims: readonly Claim[]): [string[], number[]] => [
  claims.map(({ id }) => id),
  claims.map(({ fence }) => fence),
];

const idsOf = (rows: readonly { id: string }[]): string[] => rows.map(({ id }) => String(id));

async function inTransaction<Client extends PostgresClient, Result>(
  pool: PostgresPool<Client>,
  act: (client: Client) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query("BEGIN");
    const result = await act(client);
    await client.query("COMMIT");
    return result;
  } catch (error) {
    // A connection that cannot even roll back is of no more use; its transaction ends with it.
    await client.query("ROLLBACK").catch((itsError: unknown) => {
      broken = itsError instanceof Error ? itsError : new Error(String(itsError));
    });
    throw error;
  } finally {
    client.release(broken);
  }
}
