import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { networkOf } from "./address.ts";

/** Why a connection was cut: its address has too many, all have, or nobody reads what was answered. */
export type CutReason = "address" | "all" | "unread";

/** Bounds of open connections. */
export interface ConnectionBounds {
  /** Most open connections of all addresses together. */
  readonly connectionsMax: number;
  /** Most open connections of one address (IPv6: of one /64). */
  readonly perAddressMax: number;
  /** How long an answer may stand still that its client does not read, in milliseconds. */
  readonly unreadMaxMs: number;
  /** How often it is looked for such answers, in milliseconds. */
  readonly checkMs: number;
  /** Whether an address is that of a trusted proxy: it has no bound of its own, for its connections carry those of many. */
  readonly isProxy: (address: string) => boolean;
  /** Told of each connection that is cut. */
  readonly onCut: (reason: CutReason) => void;
}

/** An open connection. */
interface Connection {
  readonly socket: Socket;
  readonly group: Group;
  /** Requests that came and whose answers have not gone out. */
  underWay: number;
  /** How much its client has taken, and since when it has taken no more. */
  taken: number;
  stillSinceMs: number;
}

/** The connections of one address, the oldest first. Idle: no request under way, and be it that its headers drip. */
interface Group {
  readonly address: string;
  readonly isProxy: boolean;
  readonly idle: Set<Connection>;
  readonly busy: Set<Connection>;
}

const sizeOf = ({ idle, busy }: Group): number => idle.size + busy.size;

/** Holds a server's connections within their bounds. What is new is let in, and the oldest idle one makes room for it. */
export function boundConnections(server: Server, bounds: ConnectionBounds): void {
  const groups = new Map<string, Group>();
  const connections = new Map<Socket, Connection>();

  const forget = (connection: Connection): void => {
    const { socket, group } = connection;
    connections.delete(socket);
    group.idle.delete(connection);
    group.busy.delete(connection);
    if (sizeOf(group) === 0) groups.delete(group.address);
  };
  const cut = (connection: Connection, reason: CutReason): void => {
    // Counted as gone at once: its end is told of later.
    forget(connection);
    connection.socket.destroy();
    bounds.onCut(reason);
  };

  server.on("connection", (socket: Socket) => {
    const group = groupOf(groups, socket.remoteAddress ?? "", bounds.isProxy);
    const full = makeRoom(groups, group, connections.size, bounds, cut);
    if (full !== null) {
      socket.destroy();
      bounds.onCut(full);
      return;
    }
    groups.set(group.address, group);
    const connection = { socket, group, underWay: 0, taken: 0, stillSinceMs: 0 };
    connections.set(socket, connection);
    group.idle.add(connection);
    socket.once("close", () => forget(connection));
  });
  server.prependListener("request", ({ socket }: IncomingMessage, response: ServerResponse) => {
    const connection = connections.get(socket);
    if (connection === undefined) return;
    const { group } = connection;
    connection.underWay++;
    group.idle.delete(connection);
    group.busy.add(connection);
    response.once("close", () => {
      if (--connection.underWay > 0 || !connections.has(socket)) return;
      group.busy.delete(connection);
      group.idle.add(connection);
    });
  });
  const timer = setInterval(() => {
    const nowMs = performance.now();
    for (const connection of connections.values()) {
      if (isUnread(connection, nowMs, bounds.unreadMaxMs)) cut(connection, "unread");
    }
  }, bounds.checkMs);
  timer.unref();
  server.once("close", () => clearInterval(timer));
}

function groupOf(
  groups: ReadonlyMap<string, Group>,
  address: string,
  isProxy: ConnectionBounds["isProxy"],
): Group {
  const proxy = isProxy(address);
  // A proxy's own address is told apart from a client's of the same network.
  const name = proxy ? `proxy ${address}` : networkOf(address);
  return groups.get(name) ?? { address: name, isProxy: proxy, idle: new Set(), busy: new Set() };
}

/** Cuts what has to go for one more connection of a group. @returns why there is no room; null: there is. */
function makeRoom(
  groups: ReadonlyMap<string, Group>,
  own: Group,
  open: number,
  bounds: ConnectionBounds,
  cut: (connection: Connection, reason: CutReason) => void,
): CutReason | null {
  if (!own.isProxy && sizeOf(own) >= bounds.perAddressMax) {
    const [oldest] = own.idle;
    if (oldest === undefined) return "address";
    cut(oldest, "address");
    return null;
  }
  if (open < bounds.connectionsMax) return null;
  const victim = victimOf(groups, own);
  if (victim === null) return "all";
  cut(victim, "all");
  return null;
}

/**
 * The connection that makes room when there are as many as may be in all: of the address that has the most. Else some
 * addresses could keep everybody out, with requests whose bodies drip as well as with idle connections.
 */
function victimOf(groups: ReadonlyMap<string, Group>, own: Group): Connection | null {
  let largest = own;
  for (const group of groups.values()) if (sizeOf(group) > sizeOf(largest)) largest = group;
  const [idle] = largest.idle;
  if (idle !== undefined) return idle;
  const [busy] = largest.busy;
  return largest === own ? null : (busy ?? null);
}

/** Whether an answer waits that its client has taken nothing of for too long. */
function isUnread(connection: Connection, nowMs: number, unreadMaxMs: number): boolean {
  const { socket } = connection;
  const waiting = socket.writableLength;
  const taken = waiting === 0 ? -1 : socket.bytesWritten - waiting;
  if (waiting === 0 || taken !== connection.taken) {
    connection.taken = taken;
    connection.stillSinceMs = nowMs;
    return false;
  }
  return nowMs - connection.stillSinceMs > unreadMaxMs;
}
