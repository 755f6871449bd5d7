import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { type TestGuardParts, testGuard } from "../../../test/guard.ts";
import { systemClock } from "../src/clock.ts";
import { type AttemptRequest, makeAttempt } from "../src/dispatch/attempt.ts";
import { type Clients, createClients } from "../src/dispatch/clients.ts";
import type { AttemptResult } from "../src/outbox/result.ts";

/** A raw server on a loopback address, and what has come to it. */
export interface RawServer {
  readonly port: number;
  readonly url: string;
  /** Connections that were ever made to it. */
  readonly connections: Socket[];
  close(): Promise<void>;
}

/** @param serve gets each connection; an error on it is not a mistake. */
export async function startRaw(serve: (socket: Socket) => void, host = "127.0.0.1"): Promise<RawServer> {
  const connections: Socket[] = [];
  const server: Server = createServer((socket) => {
    connections.push(socket);
    socket.on("error", () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http://${host}:${port}/hook`,
    connections,
    close: () =>
      new Promise((resolve) => {
        for (const socket of connections) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** Answers each request, once its body has come whole, with these bytes. */
export const answering =
  (bytes: string | Buffer, after: (socket: Socket) => void = () => {}) =>
  (socket: Socket): void => {
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (!text.endsWith(body)) return;
      text = "";
      socket.write(bytes);
      after(socket);
    });
  };

const body = '{"event":"session.ended"}';

/** Clients whose guard lets plain http to loopback through, or whatever the parts say. */
export const testClients = (parts: TestGuardParts = { policy: { allowHttp: "loopback" } }): Clients =>
  createClients(testGuard(parts), systemClock);

/** One attempt. */
export async function attempt(
  clients: Clients,
  url: string,
  more: Partial<AttemptRequest> = {},
): Promise<AttemptResult> {
  const request: AttemptRequest = {
    url: new URL(url),
    headers: ["content-type", "application/json", "accept-encoding", "identity"],
    body,
    timeoutMs: 5_000,
    mayBegin: () => true,
    ...more,
  };
  const result = await makeAttempt(clients.for(request.url), request, systemClock);
  if (result === null) throw new Error("it did not begin");
  return result;
}

/**
 * A port of loopback where connections are neither taken nor refused: the system drops what comes when the queue of a
 * listener is full that takes nothing from it.
 */
export async function blackHole(): Promise<{ readonly port: number; close(): Promise<void> }> {
  const script = `
    const server = require("node:net").createServer();
    server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
      require("node:fs").writeSync(1, String(server.address().port));
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [chunk] = (await once(child.stdout, "data")) as [Buffer];
  const port = Number(chunk.toString());
  const fill = Array.from({ length: 8 }, () => connect({ host: "127.0.0.1", port }).on("error", () => {}));
  await once(fill[0] ?? child, "connect");
  return {
    port,
    async close() {
      for (const socket of fill) socket.destroy();
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/**
 * A DNS server that knows some IPv4 addresses and no others.
 *
 * @returns what it was asked, as a name and the number of a type: 1 for A, 28 for AAAA.
 */
export async function startDns(
  names: Readonly<Record<string, string>>,
): Promise<{ readonly port: number; readonly asked: string[]; close(): Promise<void> }> {
  const asked: string[] = [];
  const socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString("latin1", at + 1, at + 1 + length));
      at += 1 + length;
    }
    const [name, type] = [labels.join("."), query.readUInt16BE(at + 1)];
    asked.push(`${name} ${type}`);
    const known = names[name];
    const address = type === 1 ? known : undefined;
    const header = Buffer.from(query.subarray(0, 12));
    header.writeUInt16BE(known === undefined ? 0x8183 : 0x8180, 2);
    header.writeUInt16BE(address === undefined ? 0 : 1, 6);
    header.fill(0, 8, 12);
    const answer =
      address === undefined
        ? []
        : [
            Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]),
            Buffer.from(address.split(".").map(Number)),
          ];
    socket.send(Buffer.concat([header, query.subarray(12, at + 5), ...answer]), from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return {
    port: socket.address().port,
    asked,
    close: () => new Promise((resolve) => void socket.close(() => resolve())),
  };
}
