/** Opens connections to PostgreSQL: every one of this process, whichever host of DATABASE_URL it leads to. */
import pg from "pg";
import { ConnectError, type Failure, failureOf, WrongTargetError } from "./connect-error.ts";
import { type DatabaseUrl, type Host, parseDatabaseUrl, type SessionTarget } from "./database-url.ts";
import { tlsOptions } from "./tls.ts";

/** How to reach PostgreSQL: a `DATABASE_URL`, or what the embedded server answers. */
export interface Connection {
  readonly connectionString: string;
}

/** Longest wait for a connection in milliseconds, all hosts together. */
const connectMsStandard = 5_000;
/** Longest wait for one of several hosts: the next one may be the one that answers. */
const hostMsMax = 2_000;
/** Longest statement of a connection that is no pool's. */
const queryMsMax = 10_000;

/**
 * The hosts of a DATABASE_URL and which one comes first: that which was taken last. A host that is away costs its
 * connect time once and not for each connection (ADR 0048).
 */
export class Hosts {
  readonly url: DatabaseUrl;
  #first = 0;

  constructor({ connectionString }: Connection) {
    this.url = parseDatabaseUrl(connectionString);
  }

  get first(): Host {
    return this.url.hosts[this.#first] as Host;
  }

  passBy(host: Host): void {
    if (this.first === host) this.#first = (this.#first + 1) % this.url.hosts.length;
  }

  /**
   * Tries until one host gives a connection, each once.
   *
   * @throws ConnectError that names all that were tried; another error at once.
   */
  async tryEach<Opened>(open: () => Promise<Opened>): Promise<Opened> {
    const failures: Failure[] = [];
    for (;;) {
      try {
        return await open();
      } catch (error) {
        const failed = connectErrorOf(error);
        if (failed === null) throw error;
        failures.push(...failed.failures);
        for (const { host } of failed.failures) this.passBy(host);
        if (failures.length >= this.url.hosts.length) throw new ConnectError(failures, { cause: error });
      }
    }
  }
}

/** The pool puts an error of its own before that of a client that it has ended for being slow. */
function connectErrorOf(error: unknown): ConnectError | null {
  if (error instanceof ConnectError) return error;
  return error instanceof Error && error.cause instanceof ConnectError ? error.cause : null;
}

/** SQL that gives a session its settings, as names and values; nothing for the server's own. */
export type Settings = Readonly<Record<string, string>>;

export interface SessionOptions extends pg.ClientConfig {
  readonly settings?: Settings;
  /** Longest wait for a connection, all hosts together. */
  readonly connectMs?: number;
}

/**
 * A connection to the host that comes first. It counts as connected when its session has its settings and the server is
 * what target_session_attrs asks for. Settings are no startup parameters, which PgBouncer refuses.
 */
export class SessionClient extends pg.Client {
  readonly at: Host;
  /** As the other side has told it at the start. A pooler tells a number of its own. */
  declare readonly processID: number;
  readonly #target: SessionTarget;
  readonly #settings: Settings;
  readonly #connectMs: number;
  /** Why there is nothing to connect with. Thrown here, it would end the process: the pool makes clients in timers too. */
  readonly #refused: Error | null;
  #wasReadOnly = false;

  constructor(hosts: Hosts, { settings = {}, connectMs = connectMsStandard, ...options }: SessionOptions) {
    const { url, first } = hosts;
    const tls = tlsOf(url);
    super({ ...options, ...connectionOf(url, first), ...tls.config });
    const several = url.hosts.length > 1;
    this.#connectMs = several ? Math.min(connectMs / url.hosts.length, hostMsMax) : connectMs;
    this.at = first;
    this.#refused = tls.refused;
    this.#target = url.target;
    this.#settings = settings;
    // Without a listener the loss of a connection ends the process. Whoever uses it is told by the statement under way.
    this.on("error", () => {});
    this.connection.on("errorMessage", ({ code }: { code?: string }) => {
      if (code === readOnlyState) this.#wasReadOnly = true;
    });
  }

  /** Whether the server has refused a write as read-only, so that this is no longer what target_session_attrs asks for. */
  get isOffTarget(): boolean {
    return this.#wasReadOnly && this.#target !== "any";
  }

  override connect(): Promise<pg.Client>;
  override connect(callback: ((error: Error) => void) | ((error: null, client: pg.Client) => void)): void;
  // biome-ignore lint/suspicious/noConfusingVoidType: the overloads of pg
  override connect(callback?: (error: never, client: never) => void): Promise<pg.Client> | void {
    const connected = this.#connect();
    if (callback === undefined) return connected;
    const tell = callback as (error: Error | null, client?: pg.Client) => void;
    connected.then(
      (client) => tell(null, client),
      (error: Error) => tell(error),
    );
  }

  async #connect(): Promise<pg.Client> {
    const limit = setTimeout(
      () => this.connection.stream.destroy(new Error("timeout expired")),
      this.#connectMs,
    );
    try {
      if (this.#refused !== null) throw this.#refused;
      await super.connect();
      await this.verify(this.#settings);
      return this;
    } catch (error) {
      this.connection.stream.destroy();
      const reason = error instanceof Error ? error : new Error(String(error));
      throw new ConnectError([failureOf(this.at, reason)], { cause: error });
    } finally {
      clearTimeout(limit);
    }
  }

  /**
   * Makes settings, and sees in the same round trip whether the server may still be written to.
   *
   * @throws WrongTargetError
   */
  async verify(settings: Settings = {}): Promise<void> {
    const made = Object.entries(settings).map(
      ([name, value]) => `set_config(${pg.escapeLiteral(name)}, ${pg.escapeLiteral(value)}, false)`,
    );
    const columns = [
      "pg_is_in_recovery() AS recovers",
      "current_setting('transaction_read_only') AS read_only",
    ];
    const { rows } = await this.query<{ recovers: boolean; read_only: string }>(
      `SELECT ${[...columns, ...made].join(", ")}`,
    );
    const recovers = rows[0]?.recovers === true;
    if (this.#target === "any") return;
    if (recovers)
      throw new WrongTargetError("it is a standby or recovers (pg_is_in_recovery), which takes no writes");
    if (this.#target === "read-write" && rows[0]?.read_only === "on") {
      throw new WrongTargetError("it is read-only (default_transaction_read_only is on)");
    }
  }
}

/** SQLSTATE read_only_sql_transaction. */
const readOnlyState = "25006";

function connectionOf(url: DatabaseUrl, { host, port }: Host): pg.ClientConfig {
  return {
    host,
    port,
    ...(url.user === undefined ? {} : { user: url.user }),
    ...(url.password === undefined ? {} : { password: url.password }),
    ...(url.database === undefined ? {} : { database: url.database }),
    ...(url.options === undefined ? {} : { options: url.options }),
    ...(url.applicationName === undefined ? {} : { application_name: url.applicationName }),
    // The limit of this class holds until the session is ready; that of pg only until the server has said hello.
    connectionTimeoutMillis: 0,
  };
}

/** Files are read each time: a certificate that was renewed is taken up without a restart. */
function tlsOf({ tls }: DatabaseUrl): { config: pg.ClientConfig; refused: Error | null } {
  if (tls === undefined) return { config: {}, refused: null };
  try {
    return { config: { ssl: tlsOptions(tls) }, refused: null };
  } catch (error) {
    return { config: {}, refused: error instanceof Error ? error : new Error(String(error)) };
  }
}

/** Opens a connection that is no pool's. @throws ConnectError when no host gives one. */
export function openClient(hosts: Hosts, options: SessionOptions): Promise<SessionClient> {
  return hosts.tryEach(async () => {
    const client = new SessionClient(hosts, { keepAlive: true, query_timeout: queryMsMax, ...options });
    await client.connect();
    return client;
  });
}
