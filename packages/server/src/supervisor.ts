import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { readConfig } from "./config.ts";
import { type EmbeddedPostgres, isEnded, startEmbedded } from "./database/embedded/embedded.ts";
import { holdInstallation } from "./database/owner.ts";
import type { Role, Running } from "./running.ts";
import { asStartError, StartError } from "./start-error.ts";
import { type FromChild, silenceMaxMs, type ToChild } from "./supervisor-messages.ts";

export interface SupervisorOptions {
  readonly role: Role;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Gets a sentence before each step that may take long, and when something had to be started again. */
  readonly onProgress?: (sentence: string) => void;
  /** Gets each log line of the child, with its line break. */
  readonly onLog: (line: string) => void;
  /** Gets each line that is none of the log, with its line break: what Node.js says of an end that nobody expected. */
  readonly onOther: (line: string) => void;
}

/** How often the supervisor looks, in milliseconds. */
const stepMs = 100;
/** A step that comes this late was held up itself: what it sees is old. */
const lateStepMs = 1_000;
/** Pause before a child that ended is started again, in milliseconds; doubled up to the maximum while it keeps ending. */
const pauseMinMs = 100;
const pauseMaxMs = 5_000;
/** A child that has run this long has started well. */
const settledMs = 10_000;
/** Longest drain of a child: the longest attempt, and room to store its outcome. */
const drainMaxMs = 45_000;

/**
 * Runs Sendoff in a child process and watches over it: a child that is silent is killed before its leases end, one that
 * ended is started again, and so is the embedded PostgreSQL.
 *
 * @throws StartError when the first start fails; nothing is left running.
 */
export async function superviseSendoff(options: SupervisorOptions): Promise<Running> {
  let database: Database | null = null;
  try {
    const config = readConfig(options.env);
    if (config.databaseUrl === null) {
      if (options.role === "worker") throw needsDatabase();
      database = await startDatabase(config.dataFolder, options, () => child.restart());
    }
    const child: Child = new Child(options, database);
    const { start, startPath } = await child.start();
    const own = database;
    return {
      start,
      startPath,
      async stop() {
        await child.stop();
        await own?.stop();
      },
    };
  } catch (error) {
    await database?.stop();
    throw asStartError(error);
  }
}

function needsDatabase(): StartError {
  return new StartError(
    "A worker needs the PostgreSQL of its API: set DATABASE_URL. Only `sendoff start` brings its own.",
  );
}

/** The embedded PostgreSQL, kept running. */
interface Database {
  connectionString(): string;
  stop(): Promise<void>;
}

/** @param onMoved called when it had to be started again and is reached by another address than before. */
async function startDatabase(
  dataFolder: string,
  options: SupervisorOptions,
  onMoved: () => void,
): Promise<Database> {
  const tell = options.onProgress ?? (() => {});
  tell("Starting PostgreSQL ...");
  const begin = (): Promise<EmbeddedPostgres> => startEmbedded({ dataFolder, onProgress: tell });
  let server = await begin();
  const hold = await holdInstallation({ connectionString: server.connectionString });
  if (hold === null) {
    // The server belongs to the process that holds it: it must go on.
    throw new StartError(
      `Another Sendoff runs with the data folder ${dataFolder} (see start.json there). Stop it first, or set SENDOFF_DATA to another folder and PORT to another port.`,
    );
  }
  let starting: Promise<void> | null = null;
  const watch = setInterval(() => {
    if (starting !== null) return;
    starting = isEnded(server.pid)
      .then(async (ended) => {
        if (!ended) return;
        tell("PostgreSQL has ended; starting it again ...");
        const before = server.connectionString;
        server = await begin();
        if (server.connectionString !== before) onMoved();
      })
      .catch((error: Error) => tell(`PostgreSQL could not be started again: ${error.message}`))
      .finally(() => {
        starting = null;
      });
  }, stepMs);
  return {
    connectionString: () => server.connectionString,
    async stop() {
      clearInterval(watch);
      await starting;
      // Held until the server is gone, or another start would take it up and lose it.
      await server.stop();
      await hold.release();
    },
  };
}

type Ready = Extract<FromChild, { type: "ready" }>;

/** The child process, and the next one when it has ended. */
class Child {
  readonly #options: SupervisorOptions;
  readonly #database: Database | null;
  #process: ChildProcess | null = null;
  #connection: string | null = null;
  #port: string | undefined;
  /** Whether one has ever been ready: until then a failure is the start's. */
  #startedOnce = false;
  #stopping = false;
  #pauseMs = pauseMinMs;
  #again: NodeJS.Timeout | undefined;

  constructor(options: SupervisorOptions, database: Database | null) {
    this.#options = options;
    this.#database = database;
  }

  /** Starts it for the first time. */
  async start(): Promise<Ready> {
    const ready = await this.#fork();
    this.#startedOnce = true;
    // With PORT=0 the next one must listen where this one did.
    if (ready.start !== null) this.#port = new URL(ready.start.apiUrl).port || this.#options.env.PORT;
    return ready;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#again);
    const child = this.#process;
    if (child === null) return;
    const ended = once(child, "exit");
    send(child, { type: "end" });
    const kill = setTimeout(() => child.kill("SIGKILL"), drainMaxMs);
    await ended;
    clearTimeout(kill);
  }

  /** Ends it at once; the next one begins with the database's new address. */
  restart(): void {
    this.#process?.kill("SIGKILL");
  }

  #fork(): Promise<Ready> {
    this.#connection = this.#database?.connectionString() ?? null;
    const child = fork(fileURLToPath(new URL("./child.js", import.meta.url)), [], {
      env: {
        ...this.#options.env,
        ...(this.#port === undefined ? {} : { PORT: this.#port }),
      } as NodeJS.ProcessEnv,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      // There are up to three of these in memory. Larger ones cost that memory and make no delivery cheaper (ADR 0047).
      execArgv: ["--max-semi-space-size=8"],
    });
    this.#process = child;
    forwardLines(child.stdout, this.#options.onLog);
    forwardLines(child.stderr, this.#options.onOther);
    const beganMs = performance.now();
    return new Promise<Ready>((resolve, reject) => {
      const watch = watchOver(child);
      child.on("message", (message: FromChild) => {
        watch.heard();
        if (message.type === "ready") resolve(message);
        if (message.type === "failed") {
          reject(message.known ? new StartError(message.message) : new Error(message.message));
        }
      });
      child.on("exit", (code, signal) => {
        watch.stop();
        this.#process = null;
        reject(new StartError(`Sendoff's process ended while it started (${signal ?? code}).`));
        if (this.#startedOnce) this.#forkAgain(signal ?? code, performance.now() - beganMs);
      });
      send(child, { type: "begin", role: this.#options.role, connectionString: this.#connection });
    });
  }

  #forkAgain(reason: number | string | null, ranMs: number): void {
    if (this.#stopping) return;
    this.#pauseMs = ranMs > settledMs ? pauseMinMs : Math.min(this.#pauseMs * 2, pauseMaxMs);
    this.#options.onProgress?.(`Sendoff's process has ended (${reason}); starting it again ...`);
    this.#again = setTimeout(() => {
      this.#fork().catch((error: Error) => this.#options.onProgress?.(error.message));
    }, this.#pauseMs);
  }
}

/** Kills a child that is silent for too long. It is watched from its first heartbeat on. */
function watchOver(child: ChildProcess): { heard(): void; stop(): void } {
  let heardMs: number | null = null;
  let steppedMs = performance.now();
  const step = setInterval(() => {
    const now = performance.now();
    const late = now - steppedMs > lateStepMs;
    steppedMs = now;
    // Held up itself, it has heartbeats to read yet; the next step knows.
    if (late || heardMs === null) return;
    if (now - heardMs > silenceMaxMs) child.kill("SIGKILL");
  }, stepMs);
  return {
    heard() {
      heardMs = performance.now();
    },
    stop: () => clearInterval(step),
  };
}

function send(child: ChildProcess, message: ToChild): void {
  // It may be ending this very moment; then there is nobody to tell.
  child.send(message, () => {});
}

function forwardLines(stream: Readable | null, onLine: (line: string) => void): void {
  let rest = "";
  stream?.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(`${line}\n`);
  });
}
