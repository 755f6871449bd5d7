import type { Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { testGuard } from "../../../test/guard.ts";
import { until } from "../../../test/until.ts";
import { systemClock } from "../src/clock.ts";
import { type Connection, createClients, idleMax } from "../src/dispatch/clients.ts";
import { answering, attempt, type RawServer, startRaw, testClients } from "./egress-attempt.ts";

const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const servers: RawServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});
const serve = async (...args: Parameters<typeof startRaw>): Promise<RawServer> => {
  const server = await startRaw(...args);
  servers.push(server);
  return server;
};

describe("a connection that is kept", () => {
  const url = async (): Promise<RawServer> => serve(answering(ok));

  test("R26: is used again within 1 s of its last answer and never later", async () => {
    let nowMs = 0;
    const server = await url();
    const clock = { ...systemClock, monotonicMs: () => nowMs };
    const clients = createClients(testGuard({ policy: { allowHttp: "loopback" } }), clock);
    await attempt(clients, server.url);
    nowMs += 999;
    await attempt(clients, server.url);
    expect(server.connections.length).toBe(1);
    nowMs += 1_000;
    await attempt(clients, server.url);
    expect(server.connections.length).toBe(2);
    await clients.close();
  });

  test.each([
    ["connection: close", "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"],
    ["HTTP/1.0", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"],
    ["keep-alive: timeout=1", "HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 2\r\n\r\nok"],
  ])("R26: is never used again after %s", async (_what, answer) => {
    const server = await serve(answering(answer));
    const clients = testClients();
    for (let n = 1; n <= 3; n++) {
      expect((await attempt(clients, server.url)).outcome).toBe("delivered");
      expect(server.connections.length).toBe(n);
    }
  });

  test("attempts that hang at an origin, however many, keep no other attempt there from a connection", async () => {
    const hanging: Socket[] = [];
    const server = await serve((socket) => {
      socket.on("data", (chunk) => {
        if (chunk.toString("latin1").startsWith("POST /hook")) hanging.push(socket);
        else socket.write(ok);
      });
    });
    const clients = testClients();
    const some = Array.from({ length: 200 }, () => attempt(clients, server.url, { timeoutMs: 20_000 }));
    await until("200 are under way", () => hanging.length === 200);
    for (let n = 0; n < 10; n++) {
      const fast = await attempt(clients, `http://127.0.0.1:${server.port}/fast`, { timeoutMs: 2_000 });
      expect(fast.outcome).toBe("delivered");
    }
    // One of its own, used again and again.
    expect(server.connections.length).toBe(201);
    for (const socket of hanging) socket.write(ok);
    expect((await Promise.all(some)).every(({ outcome }) => outcome === "delivered")).toBe(true);
  });

  test("is one of a bounded number of idle ones over all origins: the one that is idle for the longest time goes", async () => {
    const [first, second] = [await url(), await url()];
    const clients = testClients();
    const open = (server: RawServer): Promise<Connection> =>
      clients
        .for(new URL(server.url))
        .open(new URL(server.url), { step: "dns" }, AbortSignal.timeout(20_000));
    const early = await Promise.all(Array.from({ length: 5 }, () => open(first)));
    const late = await Promise.all(Array.from({ length: idleMax - 2 }, () => open(second)));
    const isClosed = ({ client }: Connection): boolean => client.destroyed;
    for (const connection of early) clients.for(new URL(first.url)).giveBack(connection);
    for (const connection of late) clients.for(new URL(second.url)).giveBack(connection);
    expect(early.map(isClosed)).toEqual([true, true, true, false, false]);
    expect(late.filter(isClosed)).toEqual([]);
    // What was closed is not handed out, and makes way for no other.
    const taken = [1, 2, 3].map(() => clients.for(new URL(first.url)).take(new URL(first.url)));
    expect(taken).toEqual([early[4], early[3], null]);
    await clients.close();
  });

  test("takes one attempt at a time, and is closed with the clients", async () => {
    const server = await url();
    const clients = testClients();
    const results = await Promise.all(Array.from({ length: 5 }, () => attempt(clients, server.url)));
    expect(results.every(({ outcome }) => outcome === "delivered")).toBe(true);
    expect(server.connections.length).toBe(5);
    await Promise.all(Array.from({ length: 5 }, () => attempt(clients, server.url)));
    expect(server.connections.length).toBe(5);
    await clients.close();
    await until("all are closed", () => server.connections.every((socket) => socket.destroyed));
  });
});
