// Open connections: bounds per address and in all, and who makes room.
import type { Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";
import type { CutReason } from "../src/http/connections.ts";
import { type ConnectionLimits, closeHttp, listenHttp } from "../src/http/listen.ts";

let server: TestServer | undefined;
let http: Server | undefined;
const sockets: Socket[] = [];
const cuts: CutReason[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await server?.stop();
  server = undefined;
  if (http !== undefined) await closeHttp(http);
  http = undefined;
  cuts.length = 0;
});

/** A client's end of a connection, from an address of this machine. */
interface Client {
  readonly socket: Socket;
  got(): string;
  isClosed(): boolean;
}

async function open(port: number, text = "", from = "127.0.0.1"): Promise<Client> {
  const socket = connect({ port, host: "127.0.0.1", localAddress: from });
  sockets.push(socket);
  let got = "";
  let closed = false;
  socket.on("data", (chunk) => {
    got += String(chunk);
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    closed = true;
  });
  await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
  if (text !== "") socket.write(text);
  return { socket, got: () => got, isClosed: () => closed };
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`;

/** Answers /wait when it is told to, and everything else at once. */
async function listenWith(
  limits: Partial<ConnectionLimits>,
): Promise<{ port: number; answerWaiting(): void }> {
  const waiting: Array<() => void> = [];
  const answer = async (request: Request): Promise<Response> => {
    const { pathname } = new URL(request.url);
    if (pathname === "/wait") await new Promise<void>((resolve) => waiting.push(resolve));
    return new Response("here");
  };
  http = await listenHttp(
    "127.0.0.1",
    0,
    { admission: () => null, answer },
    { checkMs: 20, onCut: (reason) => cuts.push(reason), ...limits },
  );
  return {
    port: (http.address() as AddressInfo).port,
    answerWaiting: () => waiting.splice(0).forEach((resolve) => void resolve()),
  };
}

test("an address that has all of its connections open gets a new one, for which its oldest idle one is closed", async () => {
  const { port } = await listenWith({ perAddressMax: 3 });
  const first = await open(port, get("/"));
  await until("the first is answered", () => first.got().includes("here"));
  const dripping = await open(port, "GET / HTTP/1.1\r\nx-a: ");
  const drip = setInterval(() => dripping.socket.write("a"), 5);
  const third = await open(port);
  // A connection is idle since its last answer, not since it was opened.
  first.socket.write(get("/"));
  await until("the first is answered again", () => first.got().split("here").length === 3);
  const fourth = await open(port, get("/"));
  await until("the one that drips made room", () => dripping.isClosed());
  clearInterval(drip);
  await until("the fourth is answered", () => fourth.got().includes("here"));
  await open(port);
  await until("the one that sent nothing made room", () => third.isClosed());
  expect(first.isClosed()).toBe(false);
  expect(cuts).toEqual(["address", "address"]);
});

test("an address none of whose connections is idle gets no more, and other addresses are not touched", async () => {
  const { port, answerWaiting } = await listenWith({ perAddressMax: 2 });
  const own = [await open(port, get("/wait")), await open(port, get("/wait"))];
  const other = await open(port, get("/wait"), "127.0.0.2");
  const refused = await open(port, get("/"));
  await until("the third is closed", () => refused.isClosed());
  expect(cuts).toEqual(["address"]);
  expect((await open(port, get("/"), "127.0.0.3")).isClosed()).toBe(false);
  await until("all that waited are answered", () => {
    answerWaiting();
    return [...own, other].every((client) => client.got().includes("here"));
  });
});

test("a trusted proxy has as many connections as there may be in all", async () => {
  const { port } = await listenWith({ perAddressMax: 1, isProxy: (address) => address === "127.0.0.1" });
  const clients = [await open(port, get("/")), await open(port, get("/")), await open(port, get("/"))];
  await until("all are answered", () => clients.every((client) => client.got().includes("here")));
  expect(cuts).toEqual([]);
});

test("when all are open, the address with the most makes room, be its requests under way or not", async () => {
  const { port } = await listenWith({ connectionsMax: 4 });
  const many = [await open(port), await open(port, get("/wait")), await open(port, get("/wait"))];
  const quiet = await open(port, "", "127.0.0.2");
  const first = await open(port, get("/"), "127.0.0.3");
  await until("its idle one is closed", () => many[0]?.isClosed() === true);
  await until("the new one is answered", () => first.got().includes("here"));
  const second = await open(port, get("/"), "127.0.0.4");
  await until("its oldest one is closed", () => many[1]?.isClosed() === true);
  await until("the next one is answered", () => second.got().includes("here"));
  expect([quiet.isClosed(), many[2]?.isClosed()]).toEqual([false, false]);
  expect(cuts).toEqual(["all", "all"]);
});

test("SENDOFF_ADDRESS_CONNECTIONS_MAX bounds an address, and 500 idle connections of it keep nobody out", async () => {
  server = await startTestServer({ SENDOFF_ADDRESS_CONNECTIONS_MAX: "50" });
  const port = Number(new URL(server.apiUrl).port);
  const flood = Promise.all(Array.from({ length: 500 }, () => open(port)));
  const begunMs = performance.now();
  for (let n = 0; n < 5; n++) expect((await server.api("GET", "/v1/projects")).status).toBe(200);
  await flood;
  expect((await server.api("GET", "/v1/projects")).status).toBe(200);
  const ms = performance.now() - begunMs;
  console.info(`6 requests beside 500 connections of their address: ${Math.round(ms)} ms`);
  expect(ms).toBeLessThan(5_000);
  await until("50 are open at most", () => sockets.filter((socket) => !socket.destroyed).length <= 50);
  const metrics = await (await fetch(`${server.apiUrl}/metrics`)).text();
  const cut = Number(/sendoff_connections_cut_total\{reason="address"\} (\d+)/.exec(metrics)?.[1]);
  expect(cut).toBeGreaterThanOrEqual(450);
});
