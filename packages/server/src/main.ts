import { randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import type { Server } from "node:http";
import { join } from "node:path";
import { serve } from "@hono/node-server";
import type { StartFile } from "@sendoff/contract";
import type pg from "pg";
import { systemClock } from "./clock.ts";
import { type Config, ConfigError, readConfig } from "./config.ts";
import { checkDurability, UnsafeDatabaseError } from "./database/durability.ts";
import { EmbeddedPostgresError, startEmbedded } from "./database/embedded/embedded.ts";
import { dueChannel, listen } from "./database/listen.ts";
import { migrate } from "./database/migrate.ts";
import { holdInstallation } from "./database/owner.ts";
import { type Connection, createPool } from "./database/pool.ts";
import { createClients } from "./dispatch/clients.ts";
import { createDispatcher } from "./dispatch/dispatcher.ts";
import { createApp } from "./http/app.ts";
import { agentRoutes } from "./http/routes/agent.ts";
import { healthRoutes } from "./http/routes/health.ts";
import { inspectRoutes } from "./http/routes/inspect.ts";
import { projectRoutes } from "./http/routes/projects.ts";
import { recordingRoutes } from "./http/routes/recordings.ts";
import { reportRoutes } from "./http/routes/reports.ts";
import { sessionRoutes } from "./http/routes/sessions.ts";
import { webhookLogRoutes } from "./http/routes/webhook-logs.ts";
import { InstallationError, loadSecretKey, openSealer, prepareFirstProject } from "./installation.ts";
import { createReportIntake } from "./lifecycle/apply.ts";
import { createLog, type Logger } from "./log.ts";
import { ensureLogPartitions } from "./logbook/partitions.ts";
import { createRecordingLinks } from "./recordings/links.ts";
import { createKeyRing } from "./tenancy/keys.ts";
import { version } from "./version.ts";

/** Sendoff cannot start, and the message says why and what to do. Any other error is a mistake of Sendoff. */
export class StartError extends Error {}

export interface StartOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Gets a sentence before each step that may take long. */
  readonly onProgress?: (sentence: string) => void;
  /** Where log lines go; standard output when it is missing. */
  readonly logTo?: { write(line: string): void };
}

export interface Running {
  /** What was written to start.json. */
  readonly start: StartFile;
  /** Path of start.json. */
  readonly startPath: string;
  /**
   * Drains and ends: no report is lost, no attempt is cut. Lasts as long as the longest attempt under way (its
   * timeout, at most 30 s).
   */
  stop(): Promise<void>;
}

/** What was started, ended in the opposite order. */
class Started {
  readonly #ends: Array<() => Promise<unknown>> = [];

  add(end: () => Promise<unknown>): void {
    this.#ends.unshift(end);
  }

  async end(): Promise<void> {
    for (const end of this.#ends.splice(0)) await end();
  }
}

/**
 * Starts all of Sendoff in this process: PostgreSQL unless DATABASE_URL names one, API, dispatcher.
 *
 * @throws StartError when a setting, the database or the port stands in the way; nothing is left running.
 */
export async function startSendoff(options: StartOptions): Promise<Running> {
  const started = new Started();
  try {
    const config = readConfig(options.env);
    return await startAll(config, options, started);
  } catch (error) {
    await started.end();
    throw asStartError(error);
  }
}

async function startAll(config: Config, options: StartOptions, started: Started): Promise<Running> {
  const tell = options.onProgress ?? (() => {});
  const log = createLog(config.logLevel, options.logTo);
  const connection = await connect(config, tell, started);
  // The embedded PostgreSQL makes it, too, with the mode that its account needs.
  await mkdir(config.dataFolder, { recursive: true, mode: 0o700 });
  const pool = createPool(connection, log);
  started.add(() => pool.end());
  await checkDurability(pool);
  const applied = await migrate(pool);
  if (applied.length > 0) log.info({ event: "database.migrated", migrations: applied });
  await keepPartitions(pool, log, started);
  return startRooms(config, connection, pool, log, started);
}

/** DATABASE_URL, or the embedded PostgreSQL, which this process then holds for itself. */
async function connect(
  config: Config,
  tell: (sentence: string) => void,
  started: Started,
): Promise<Connection> {
  if (config.databaseUrl !== null) return { connectionString: config.databaseUrl };
  tell("Starting PostgreSQL ...");
  const embedded = await startEmbedded({ dataFolder: config.dataFolder, onProgress: tell });
  const connection = { connectionString: embedded.connectionString };
  const hold = await holdInstallation(connection);
  if (hold === null) {
    // The server belongs to the process that holds it: it must go on.
    throw new StartError(
      `Another Sendoff runs with the data folder ${config.dataFolder} (see start.json there). Stop it first, or set SENDOFF_DATA to another folder and PORT to another port.`,
    );
  }
  // Ended in the opposite order: held until the server is gone, or another start would take it up and lose it.
  started.add(() => hold.release());
  started.add(() => embedded.stop());
  return connection;
}

const hourMs = 3_600_000;

async function keepPartitions(pool: pg.Pool, log: Logger, started: Started): Promise<void> {
  await ensureLogPartitions(pool);
  const timer = setInterval(() => {
    ensureLogPartitions(pool).catch((error: Error) =>
      log.error({ event: "logbook.partitions_failed", reason: error.message }),
    );
  }, hourMs);
  started.add(async () => clearInterval(timer));
}

async function startRooms(
  config: Config,
  connection: Connection,
  pool: pg.Pool,
  log: Logger,
  started: Started,
): Promise<Running> {
  const secretKey = await loadSecretKey(config);
  const sealer = await openSealer(pool, secretKey);
  let draining = false;
  // The port is known once the server listens, and links and the inspector's address need it.
  const app = { fetch: (_request: Request, _env: object): Response | Promise<Response> => notYet() };
  const server = await listenHttp(config, (request, env) => app.fetch(request, env));
  started.add(async () => {
    draining = true;
    await closeHttp(server);
  });
  const apiUrl = config.publicUrl ?? localUrl(config.host, portOf(server));
  const links = createRecordingLinks(apiUrl, secretKey, systemClock);
  const clients = createClients();
  const dispatcher = createDispatcher({
    pool,
    log,
    clock: systemClock,
    clients,
    sealer,
    links,
    workerId: randomUUID(),
    userAgent: `Sendoff/${version}`,
  });
  const intake = createReportIntake(pool, log, dispatcher.wake);
  const listener = listen(connection, dueChannel, dispatcher.wake, log);
  // Ended in this order: no new request, the reports that were taken, the attempts under way. Until the last one is
  // over the built-in inspector must answer, so HTTP closes after them.
  const drain = async (): Promise<void> => {
    draining = true;
    await intake.drain();
    await dispatcher.drain();
    await Promise.all([listener.stop(), clients.close()]);
  };
  started.add(drain);
  const hono = createApp({
    pool,
    log,
    keys: createKeyRing(pool),
    routes: [
      ...projectRoutes(pool),
      ...agentRoutes(pool, sealer, config.allowHttp),
      ...sessionRoutes(pool, intake),
      ...reportRoutes(intake),
      ...webhookLogRoutes(pool),
      ...recordingRoutes(links, join(config.dataFolder, "recordings")),
      ...inspectRoutes(pool),
      ...healthRoutes(pool, () => draining),
    ],
  });
  const start = await prepareFirstProject(config, pool, sealer, apiUrl);
  app.fetch = (request, env) => hono.fetch(request, env as never);
  log.info({ event: "sendoff.started", version, apiUrl, pid: process.pid });
  return {
    start,
    startPath: join(config.dataFolder, "start.json"),
    async stop() {
      log.info({ event: "sendoff.draining", inFlight: dispatcher.inFlight() });
      await started.end();
      log.info({ event: "sendoff.stopped" });
    },
  };
}

function notYet(): Response {
  return new Response("Sendoff is starting.\n", { status: 503, headers: { "retry-after": "1" } });
}

/** Time limits of a request, in milliseconds. Hostile cases, parameters. */
const headersTimeoutMs = 10_000;
const requestTimeoutMs = 15_000;

function listenHttp(
  config: Config,
  fetch: (request: Request, env: object) => Response | Promise<Response>,
): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = serve(
      {
        fetch: fetch as never,
        hostname: config.host,
        port: config.port,
        serverOptions: { headersTimeout: headersTimeoutMs, requestTimeout: requestTimeoutMs },
      },
      () => resolve(server),
    ) as Server;
    server.once("error", reject);
  });
}

async function closeHttp(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
    // A client that keeps its connection open without a request must not keep the process.
    setTimeout(() => server.closeAllConnections(), 2_000).unref();
  });
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the HTTP server has no port");
  return address.port;
}

/** Where this machine reaches a server that listens on a host and port. */
function localUrl(host: string, port: number): string {
  const name = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return `http://${name.includes(":") ? `[${name}]` : name}:${port}`;
}

function asStartError(error: unknown): unknown {
  const known = [StartError, ConfigError, EmbeddedPostgresError, UnsafeDatabaseError, InstallationError];
  if (known.some((kind) => error instanceof kind)) {
    return error instanceof StartError ? error : new StartError((error as Error).message, { cause: error });
  }
  if (!(error instanceof Error) || !("code" in error)) return error;
  if (error.code === "EADDRINUSE") {
    const port = "port" in error ? ` ${String(error.port)}` : "";
    return new StartError(`Something listens on port${port} already. Stop it, or set PORT to another one.`);
  }
  if (error.code === "ECONNREFUSED" || error.code === "ENOTFOUND" || String(error.code).startsWith("28")) {
    return new StartError(`PostgreSQL could not be reached: ${error.message}. Check DATABASE_URL.`);
  }
  return error;
}
