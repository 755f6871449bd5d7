// Answers that nobody reads: they are cut off, and what they take of the memory is bounded for each owner and in all.
import type { Server, ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { until } from "../../../test/until.ts";
import { responseOf } from "../src/http/answer.ts";
import type { CutReason } from "../src/http/connections.ts";
import { errorAnswer } from "../src/http/json-answer.ts";
import { closeHttp, listenHttp } from "../src/http/listen.ts";
import { createRequestBounds, type RequestBounds } from "../src/http/request-bounds.ts";
import { createMetrics } from "../src/metrics.ts";
import { Refusal } from "../src/refusal.ts";

const mib = 1024 * 1024;
let http: Server | undefined;
let port: number;
let bounds: RequestBounds;
const cuts: CutReason[] = [];
const sockets: Socket[] = [];

/** Answers /OWNER/BYTES with a text of so many bytes, which the owner pays for. */
async function listenWith(unreadMaxMs: number): Promise<void> {
  bounds = createRequestBounds(createMetrics());
  const answer = async (request: Request, env: object): Promise<Response> => {
    const [, owner = "", bytes] = new URL(request.url).pathname.split("/");
    const { outgoing } = env as { outgoing: ServerResponse };
    try {
      const text = { status: 200, headers: {}, body: "x".repeat(Number(bytes)) };
      return responseOf(text, outgoing, bounds.share(owner).takeAnswer);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return new Response(errorAnswer(error).body, { status: error.status });
    }
  };
  const limits = { unreadMaxMs, checkMs: 20, onCut: (reason: CutReason) => void cuts.push(reason) };
  http = await listenHttp("127.0.0.1", 0, { admission: () => null, answer }, limits);
  port = (http.address() as AddressInfo).port;
}

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  cuts.length = 0;
  if (http !== undefined) await closeHttp(http);
  http = undefined;
});

/** Asks for an answer and reads none of it. */
async function unread(path: string): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  sockets.push(socket);
  socket.on("error", () => {});
  socket.pause();
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`);
  return socket;
}

const statusOf = async (path: string): Promise<number> => {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  await response.arrayBuffer();
  return response.status;
};

test("an answer that its client does not read is cut off", async () => {
  await listenWith(1_000);
  const begunMs = performance.now();
  const socket = await unread(`/a/${30 * mib}`);
  await until("it is cut", () => cuts.length === 1);
  expect(performance.now() - begunMs).toBeGreaterThan(900);
  expect(cuts).toEqual(["unread"]);
  let bytes = 0;
  socket.on("data", (chunk) => {
    bytes += chunk.length;
  });
  socket.resume();
  await until("the connection has ended", () => socket.destroyed);
  expect(bytes).toBeLessThan(30 * mib);
});

test("an answer that is read slowly comes whole, however long that takes", async () => {
  await listenWith(2_000);
  const begunMs = performance.now();
  const socket = await unread(`/a/${30 * mib}`);
  let bytes = 0;
  socket.on("data", (chunk) => {
    bytes += chunk.length;
    // Its client takes 64 KiB in 8 ms: at most 8 MiB a second.
    socket.pause();
    setTimeout(() => socket.resume(), 8);
  });
  socket.resume();
  await until("all of it has come", () => bytes >= 30 * mib);
  expect(performance.now() - begunMs).toBeGreaterThan(2_000);
  expect(cuts).toEqual([]);
});

test("one who leaves 16 MiB unread gets no more, others do, and so does it when those connections are closed", async () => {
  await listenWith(60_000);
  for (let n = 0; n < 3; n++) await unread(`/a/${5 * mib}`);
  await until("they are answered", async () => (await statusOf(`/a/${5 * mib}`)) === 429);
  expect(await statusOf(`/b/${5 * mib}`)).toBe(200);
  expect(await statusOf("/a/1000")).toBe(200);
  for (const socket of sockets) socket.destroy();
  await until("their memory is free", async () => (await statusOf(`/a/${12 * mib}`)) === 200);
});

test("a client that has gone before its answer was made leaves nothing behind", async () => {
  await listenWith(60_000);
  for (let n = 0; n < 20; n++) (await unread(`/a/${2 * mib}`)).destroy();
  await until("all of its memory is free", async () => (await statusOf(`/a/${15 * mib}`)) === 200);
});

test("an answer that is larger than the bound is given when its owner has no other, and 128 MiB are for all", () => {
  bounds = createRequestBounds(createMetrics());
  const releases = ["a", "b", "c"].map((owner) => bounds.share(owner).takeAnswer(40 * mib));
  expect(() => bounds.share("a").takeAnswer(1)).toThrow(/16 MiB of answers/);
  expect(() => bounds.share("d").takeAnswer(9 * mib)).toThrow(/128 MiB of answers/);
  releases[0]?.();
  expect(() => bounds.share("d").takeAnswer(9 * mib)).not.toThrow();
});
