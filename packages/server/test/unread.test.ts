// Answers that nobody reads: they are cut off, and what they take of the memory is bounded for each owner and in all.
import type { Server, ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { until } from "../../../test/until.ts";
import { responseOf } from "../src/http/answer.ts";
import type { CutReason } from "../src/http/connections.ts";
import { errorAnswer } from "../src/http/json-answer.ts";
import { closeHttp, listenHttp } from "../src/http/listen.ts";
import { createRequestBounds, type RequestBounds } from "../src/http/request-bounds.ts";
import { createMetrics } from "../src/metrics.ts";
import { Refusal } from "../src/refusal.ts";

const mib = 1024 * 1024;
let http: Server;
let port: number;
let bounds: RequestBounds;
const cuts: CutReason[] = [];
const sockets: Socket[] = [];

/** Answers /OWNER/BYTES with a text of so many bytes, which the owner pays for. */
beforeEach(async () => {
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
  const limits = { unreadMaxMs: 2_000, checkMs: 20, onCut: (reason: CutReason) => void cuts.push(reason) };
  http = await listenHttp("127.0.0.1", 0, { admission: () => null, answer }, limits);
  port = (http.address() as AddressInfo).port;
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  cuts.length = 0;
  await closeHttp(http);
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
  const begunMs = performance.now();
  const socket = await unread(`/a/${30 * mib}`);
  await until("it is cut", () => cuts.length === 1);
  expect(performance.now() - begunMs).toBeGreaterThan(1_900);
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

test("one who leaves 16 MiB unread gets no more of it, others do, and so does it when they are read or cut off", async () => {
  for (let n = 0; n < 3; n++) await unread(`/a/${5 * mib}`);
  await until("they are answered", async () => (await statusOf(`/a/${5 * mib}`)) === 429);
  expect(await statusOf(`/b/${5 * mib}`)).toBe(200);
  expect(await statusOf("/a/1000")).toBe(200);
  await until(
    "they are cut off and their memory is free",
    async () => (await statusOf(`/a/${12 * mib}`)) === 200,
  );
});

test("an answer that is larger than the bound is given when its owner has no other", async () => {
  expect(await statusOf(`/a/${40 * mib}`)).toBe(200);
  expect(await statusOf(`/a/${40 * mib}`)).toBe(200);
});

test("unread answers of all owners have 128 MiB, and who comes then is told so", async () => {
  await Promise.all(["a", "b", "c"].map((owner) => unread(`/${owner}/${40 * mib}`)));
  await until("they are answered", async () => (await statusOf(`/late/${15 * mib}`)) === 503);
  await until("they are cut off", async () => (await statusOf(`/late/${15 * mib}`)) === 200);
});

test("a client that has gone before its answer was made leaves nothing behind", async () => {
  for (let n = 0; n < 20; n++) (await unread(`/a/${5 * mib}`)).destroy();
  await until("all of its memory is free", async () => (await statusOf(`/a/${15 * mib}`)) === 200);
});
