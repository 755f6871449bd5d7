import type { Socket } from "node:net";
import { LRUCache } from "lru-cache";
import { Client } from "undici";
import type { Clock } from "../clock.ts";
import { Blocked, type Guard, type Progress } from "../egress/guard.ts";

/**
 * Hands out connections, one attempt at a time on each. Each new one has passed the guard. There is no limit on those of
 * one origin: many projects send to one (hooks of an automation service), and a place that hanging endpoints of one
 * project hold would be missing to another. An attempt has one connection, so the limits on attempts, per endpoint and
 * per process, are those on connections (ADR 0055).
 */
export interface Clients {
  for(url: URL): Origin;
  close(): Promise<void>;
}

/** The connections to one scheme, host and port. */
export interface Origin {
  /**
   * Checks the URL and takes a connection whose last answer is young enough; null when there is none.
   *
   * @throws Blocked when a rule on URLs forbids the attempt.
   */
  take(url: URL): Connection | null;
  /** Opens a connection, as {@link Guard.open}. It waits for nobody else's. */
  open(url: URL, progress: Progress, signal: AbortSignal): Promise<Connection>;
  /** Gives a connection back whose answer came whole, for another attempt within {@link keepAliveMs}. */
  giveBack(connection: Connection): void;
}

/** One connection, and the HTTP/1.1 client that speaks on it and on no other. */
export interface Connection {
  readonly client: Client;
  readonly socket: Socket;
}

/** Most idle connections that a process keeps; of more the one that is idle for the longest time is closed. */
export const idleMax = 1_024;
/** Most origins with connections that are kept; those of the one that was used the longest ago are closed. */
const originsMax = 2_000;
/**
 * How long an idle connection may be used again, in milliseconds. Beyond that the other side may be closing it at that
 * very moment, and the POST would be lost unseen (behaviour, section 4: 8 to 40 % were, when measured).
 */
const keepAliveMs = 1_000;
const responseHeadersBytesMax = 16 * 1_024;

/** @param onBlocked told of each attempt that a rule forbids, for the operator's log. */
export function createClients(
  guard: Guard,
  clock: Clock,
  onBlocked: (url: URL, rule: string) => void = () => {},
): Clients {
  const idle = new Set<Connection>();
  const origins = new LRUCache<string, IdleConnections>({
    max: originsMax,
    dispose: (origin) => origin.close(),
  });
  return {
    for(url) {
      let origin = origins.get(url.origin);
      if (origin === undefined) {
        origin = new IdleConnections(guard, clock, onBlocked, idle);
        origins.set(url.origin, origin);
      }
      return origin;
    },
    async close() {
      origins.clear();
    },
  };
}

interface Idle {
  readonly connection: Connection;
  readonly sinceMs: number;
}

class IdleConnections implements Origin {
  readonly #guard: Guard;
  readonly #clock: Clock;
  readonly #onBlocked: (url: URL, rule: string) => void;
  /** The youngest last. */
  readonly #idle: Idle[] = [];
  /** Those of every origin, the youngest last. */
  readonly #idleOfAll: Set<Connection>;
  #closed = false;
  /** The latest URL that passed: most attempts of an origin go to the same. */
  #passed: string | null = null;

  constructor(
    guard: Guard,
    clock: Clock,
    onBlocked: (url: URL, rule: string) => void,
    idleOfAll: Set<Connection>,
  ) {
    this.#guard = guard;
    this.#clock = clock;
    this.#onBlocked = onBlocked;
    this.#idleOfAll = idleOfAll;
  }

  take(url: URL): Connection | null {
    const idle = this.#youngest();
    if (idle === null || this.#passed === url.href) return idle;
    const rule = this.#guard.ruleAgainst(url);
    if (rule === null) {
      this.#passed = url.href;
      return idle;
    }
    this.giveBack(idle);
    this.#onBlocked(url, rule);
    throw new Blocked(rule);
  }

  async open(url: URL, progress: Progress, signal: AbortSignal): Promise<Connection> {
    try {
      const connection = clientOn(url, await this.#guard.open(url, progress, signal));
      connection.socket.once("close", () => this.#forget(connection));
      return connection;
    } catch (error) {
      if (error instanceof Blocked) this.#onBlocked(url, error.rule);
      throw error;
    }
  }

  giveBack(connection: Connection): void {
    if (this.#closed || connection.socket.destroyed) {
      closeIdle(connection);
      return;
    }
    this.#idle.push({ connection, sinceMs: this.#clock.monotonicMs() });
    this.#idleOfAll.add(connection);
    const [oldest] = this.#idleOfAll;
    if (this.#idleOfAll.size <= idleMax || oldest === undefined) return;
    this.#idleOfAll.delete(oldest);
    closeIdle(oldest);
  }

  close(): void {
    this.#closed = true;
    for (const { connection } of this.#idle.splice(0)) {
      this.#idleOfAll.delete(connection);
      closeIdle(connection);
    }
  }

  /** A connection is closed: what is over takes no memory and no place among the idle ones. */
  #forget(connection: Connection): void {
    this.#idleOfAll.delete(connection);
    const at = this.#idle.findIndex((idle) => idle.connection === connection);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  /** The connection that was idle for the shortest time, when that is short enough; all others that are over go. */
  #youngest(): Connection | null {
    const afterMs = this.#clock.monotonicMs() - keepAliveMs;
    for (;;) {
      const idle = this.#idle.pop();
      if (idle === undefined) return null;
      const { connection } = idle;
      this.#idleOfAll.delete(connection);
      const { client, socket } = connection;
      // The other side may have closed it meanwhile, or said with its answer that it will; or it was one too many.
      const isOpen = !client.destroyed && !socket.destroyed && socket.readable && socket.writable;
      if (idle.sinceMs > afterMs && isOpen) return connection;
      closeIdle(connection);
    }
  }
}

function closeIdle({ client }: Connection): void {
  client.destroy().catch(() => {});
}

/**
 * The other side closed an idle connection before a request was written on it: undici looks once more right before it
 * writes. Nothing has been sent, so another connection may take its place.
 */
export const connectionGone = new Error("the connection was closed before the request");

/** An HTTP/1.1 client on a connected socket. It never connects by itself: a second connection would not be checked. */
function clientOn(url: URL, socket: Socket): Connection {
  let taken = false;
  const client = new Client(url.origin, {
    pipelining: 1,
    keepAliveTimeout: keepAliveMs,
    keepAliveMaxTimeout: keepAliveMs,
    maxHeaderSize: responseHeadersBytesMax,
    connect: (_options, callback) => {
      const first = !taken;
      taken = true;
      // Later, as any connection comes: the client does not look again when it is told at once.
      queueMicrotask(() => {
        if (first) callback(null, socket);
        else callback(connectionGone, null);
      });
    },
  });
  return { client, socket };
}
