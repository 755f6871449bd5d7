import pg from "pg";
import type { Logger } from "../log.ts";
import { type Connection, Hosts, SessionClient, type Settings } from "./client.ts";
import { ConnectError } from "./connect-error.ts";
import { isUnavailable } from "./unavailable.ts";

const int8 = 20;

/** Ids and counts are bigint in the tables and stay far below 2^53: plain numbers are right for them. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) =>
    oid === int8 ? (Number as (text: string) => number) : pg.types.getTypeParser(oid, format as "text"),
};

/**
 * What a pool's statements are for. Those of the path of a delivery, from the report to the log, have connections of their
 * own: somebody's slow question to the API cannot keep them waiting. They are few, and the same all the time, so each is
 * planned once for a connection and not for its values: planning took longer than a statement of one report. Expensive
 * reads (searches, overviews, exports, counts) have theirs too, with a short time for each statement.
 */
export type PoolUse = "requests" | "path" | "expensive";

/**
 * Of every session. Statements here take milliseconds; compiling one takes a hundred. Each walks an index, whatever the
 * statistics of a table say that was empty a moment ago; and only a plain index scan marks the entries of dead rows for
 * the next one.
 */
const settings = {
  timezone: "UTC",
  jit: "off",
  enable_seqscan: "off",
  enable_bitmapscan: "off",
};
const settingsOf: Record<PoolUse, Settings> = {
  requests: settings,
  path: { ...settings, plan_cache_mode: "force_generic_plan" },
  expensive: settings,
};

/** Most connections of each that one process opens. LISTEN has a few more. */
const poolSize: Record<PoolUse, number> = { requests: 6, path: 6, expensive: 3 };

/** A pool whose new connections lead to whichever host of the DATABASE_URL may be written to. */
class HostPool extends pg.Pool {
  readonly #hosts: Hosts;

  constructor(hosts: Hosts, config: pg.PoolConfig) {
    super(config);
    this.#hosts = hosts;
  }

  override connect(): Promise<pg.PoolClient>;
  override connect(
    callback: (
      error: Error | undefined,
      client: pg.PoolClient | undefined,
      done: (release?: Error | boolean) => void,
    ) => void,
  ): void;
  override connect(
    callback?: (
      error: Error | undefined,
      client: pg.PoolClient | undefined,
      done: (release?: Error | boolean) => void,
    ) => void,
    // biome-ignore lint/suspicious/noConfusingVoidType: the overloads of pg
  ): Promise<pg.PoolClient> | void {
    const connected = this.#hosts.tryEach(() => super.connect());
    if (callback === undefined) return connected;
    connected.then(
      (client) => callback(undefined, client, client.release),
      (error: Error) => callback(error, undefined, () => {}),
    );
  }
}

/** A statement of a request that takes this long is stuck behind something; its caller answers 503. In milliseconds. */
const requestStatementMs = 15_000;
/** A statement of an expensive read is stopped after this long, in milliseconds. */
export const expensiveStatementMs = 5_000;
/** How much later than `statement_timeout` a client stops waiting, in milliseconds: then PostgreSQL itself is stuck. */
const answerMarginMs = 500;

/**
 * @param timeoutMs how long somebody waits for a connection, and for a statement of the path.
 */
export function createPool(
  connection: Connection,
  log: Logger,
  use: PoolUse = "requests",
  timeoutMs = 5_000,
): pg.Pool {
  const statementMs = use === "expensive" ? expensiveStatementMs : requestStatementMs;
  const waitMs = use === "path" ? timeoutMs : statementMs + answerMarginMs;
  const hosts = new Hosts(connection);
  const pool = new HostPool(hosts, {
    application_name: "sendoff",
    max: poolSize[use],
    connectionTimeoutMillis: timeoutMs,
    idleTimeoutMillis: 60_000,
    query_timeout: waitMs,
    types,
    Client: class extends SessionClient {
      constructor(config?: pg.ClientConfig) {
        const statement_timeout = String(waitMs - answerMarginMs);
        // The pool's own limit comes later: it would not say which host was slow.
        const connectMs = timeoutMs - answerMarginMs;
        super(hosts, { ...config, connectMs, settings: { ...settingsOf[use], statement_timeout } });
      }
    },
  });
  pool.on("release", (_error, client) => {
    // Ended clients do not go back to the pool: the next one asks all hosts again which may be written to.
    if (client instanceof SessionClient && client.isOffTarget) void client.end();
  });
  // Without a listener the loss of an idle connection ends the process.
  pool.on("error", (error) => log.warn({ event: "database.connection_lost", reason: error.message }));
  return pool;
}

/** How long a start waits for a PostgreSQL that does not answer yet, and how often it asks, in milliseconds. */
const answerWaitMs = 10_000;
const answerPollMs = 250;

/**
 * Asks until PostgreSQL answers: it may be starting itself, recovering from a crash, or about to be promoted.
 *
 * @throws the error of the last try after 10 s, or at once when waiting does not help.
 */
export async function waitForAnswer<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  const end = performance.now() + answerWaitMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const lasting = error instanceof ConnectError && error.lasting;
      if (lasting || !isUnavailable(error) || performance.now() > end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, answerPollMs));
  }
}
