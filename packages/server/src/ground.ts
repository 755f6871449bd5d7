import { mkdir } from "node:fs/promises";
import type pg from "pg";
import { type Config, readConfig } from "./config.ts";
import type { Connection } from "./database/client.ts";
import { checkDurability, warnOfAsynchronousStandbys } from "./database/durability.ts";
import { isCurrent } from "./database/migrated.ts";
import { createPool, waitForAnswer } from "./database/pool.ts";
import { refuseTransactionPooling } from "./database/pooler.ts";
import type { Resolver } from "./egress/resolver.ts";
import { numberBehindStored } from "./feed/restored.ts";
import { loadSecretKey, openSealer, resealWithLatest } from "./installation.ts";
import { createLog, type Logger } from "./log.ts";
import { ensureLogPartitions } from "./logbook/partitions.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import type { Role } from "./running.ts";
import type { Sealer } from "./secrets/seal.ts";
import { StartError } from "./start-error.ts";

export interface StartOptions {
  readonly role: Role;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A PostgreSQL that the caller has started; DATABASE_URL when it is missing. */
  readonly connectionString?: string;
  /** Where log lines go; standard output when it is missing. */
  readonly logTo?: { write(line: string): void };
  /** Who knows the addresses of endpoints' names; the system's DNS servers when it is missing. */
  readonly resolver?: Resolver;
  /** Called once when this process has stopped working and should end; a supervisor starts the next one. */
  readonly onStalled?: () => void;
  /** Process id for start.json: whom to signal. This process when it is missing. */
  readonly pid?: number;
}

/** What was started, ended in the opposite order. */
export class Started {
  readonly #ends: Array<() => Promise<unknown>> = [];

  add(end: () => Promise<unknown>): void {
    this.#ends.unshift(end);
  }

  async end(): Promise<void> {
    for (const end of this.#ends.splice(0)) await end();
  }
}

/** What every room is built with. */
export interface Ground {
  readonly config: Config;
  readonly connection: Connection;
  /** For what requests ask, and for what is done now and then. */
  readonly pool: pg.Pool;
  /** For the path of a delivery: reports, claims, outcomes, and the keys of those who report. */
  readonly pathPool: pg.Pool;
  /** For searches, overviews, exports and counts. */
  readonly expensivePool: pg.Pool;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly secretKey: Buffer;
  readonly sealer: Sealer;
  readonly started: Started;
  /** Turns true when the process begins to end. */
  readonly ending: { draining: boolean };
}

/** Reads the settings, connects to PostgreSQL and migrates it: what every room needs. */
export async function prepareGround(options: StartOptions, started: Started): Promise<Ground> {
  const config = readConfig(options.env);
  const log = createLog(config.logLevel, options.logTo);
  const connectionString = options.connectionString ?? config.databaseUrl;
  if (connectionString === null) {
    throw new StartError(
      "This needs a PostgreSQL: set DATABASE_URL to one of version 15 or later. Only `sendoff start` brings its own.",
    );
  }
  const connection = { connectionString };
  await waitForAnswer(() => refuseTransactionPooling(connection));
  const pool = createPool(connection, log, "requests", config.databaseTimeoutMs);
  const pathPool = createPool(connection, log, "path", config.databaseTimeoutMs);
  const expensivePool = createPool(connection, log, "expensive", config.databaseTimeoutMs);
  started.add(() => Promise.all([pool, pathPool, expensivePool].map((one) => one.end())));
  await checkDurability(pool);
  await warnOfAsynchronousStandbys(pool, log);
  await bringUpToDate(pool, log);
  if (await numberBehindStored(pool)) log.warn({ event: "feed.database_restored" });
  await keepPartitions(pool, log, started);
  await mkdir(config.dataFolder, { recursive: true, mode: 0o700 });
  const secretKey = await loadSecretKey(config);
  const sealer = await openSealer(pool, secretKey, config.oldSecretKeys);
  await keepResealing(pool, sealer, log, started);
  const ending = { draining: false };
  const metrics = createMetrics();
  const pools = { pool, pathPool, expensivePool };
  return { config, connection, ...pools, log, metrics, secretKey, sealer, started, ending };
}

/** Migrations and what applies them are a third of all code that a start loads, for nothing at nearly every one. */
async function bringUpToDate(pool: pg.Pool, log: Logger): Promise<void> {
  if (await isCurrent(pool)) return;
  const { migrate } = await import("./database/migrate.ts");
  const applied = await migrate(pool);
  if (applied.length > 0) log.info({ event: "database.migrated", migrations: applied });
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

/** How often a process that has old keys looks for values that are sealed with them, in milliseconds. */
const resealMs = 60_000;

/** Seals anew what old keys sealed, until nobody needs them. Nothing to do for a process without old keys. */
async function keepResealing(pool: pg.Pool, sealer: Sealer, log: Logger, started: Started): Promise<void> {
  await resealWithLatest(pool, sealer, log);
  const timer = setInterval(() => {
    resealWithLatest(pool, sealer, log).catch((error: Error) =>
      log.error({ event: "secrets.reseal_failed", reason: error.message }),
    );
  }, resealMs);
  started.add(async () => clearInterval(timer));
}
