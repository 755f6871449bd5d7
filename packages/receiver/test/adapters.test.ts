// One suite for all adapters: a signed event is taken, its duplicate told, what is wrong refused, and the body's bytes reach
// the check as they were sent.
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { connect } from "node:net";
import { serve } from "@hono/node-server";
import express from "express";
import fastify from "fastify";
import { Hono } from "hono";
import { afterEach, describe, expect, test, vi } from "vitest";
import { until } from "../../../test/until.ts";
import { expressHandler } from "../src/express.ts";
import { fastifyReceiver } from "../src/fastify.ts";
import { honoHandler } from "../src/hono.ts";
import { createReceiver, memoryStore, type Receiver } from "../src/index.ts";
import { lambdaHandler, lambdaWorker } from "../src/lambda.ts";
import { nextHandlers } from "../src/next.ts";
import { nodeHandler } from "../src/node.ts";
import { bodies, secret, signedHeaders } from "./requests.ts";

interface Served {
  send(
    headers: Record<string, string>,
    body: string,
    method?: string,
  ): Promise<{ status: number; text: string }>;
  port?: number;
}

const ends: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function listening(server: Server): Promise<Served> {
  if (!server.listening) server.listen(0, "127.0.0.1");
  await once(server, "listening").catch(() => {});
  return reach(server);
}

function reach(server: Server): Served {
  ends.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as { port: number };
  return {
    port,
    async send(headers, body, method = "POST") {
      const response = await fetch(`http://127.0.0.1:${port}/hook`, {
        ...{ method, headers },
        ...(method === "POST" ? { body } : {}),
      });
      return { status: response.status, text: await response.text() };
    },
  };
}

const lambda = (receiver: Receiver, isNew: boolean, isBase64Encoded: boolean): Served => ({
  async send(headers, body, method = "POST") {
    const answer = await lambdaHandler(receiver)({
      headers: Object.fromEntries(
        Object.entries(headers).map(([name, value]) => [name.toUpperCase(), value]),
      ),
      body: isBase64Encoded ? Buffer.from(body).toString("base64") : body,
      isBase64Encoded,
      ...(isNew ? { requestContext: { http: { method } } } : { httpMethod: method }),
    });
    return { status: answer.statusCode, text: answer.body };
  },
});

const adapters: Record<string, (receiver: Receiver) => Promise<Served> | Served> = {
  node: (receiver) => listening(createServer(nodeHandler(receiver))),
  express(receiver) {
    const app = express();
    app.all("/hook", expressHandler(receiver));
    app.use(express.json());
    return listening(createServer(app as RequestListener));
  },
  "express with express.raw"(receiver) {
    const app = express();
    app.use(express.raw({ type: "application/json" }));
    app.all("/hook", expressHandler(receiver));
    return listening(createServer(app as RequestListener));
  },
  async fastify(receiver) {
    const app = fastify();
    await app.register(fastifyReceiver(receiver, "/hook"));
    await app.listen({ port: 0, host: "127.0.0.1" });
    ends.push(() => app.close());
    return reach(app.server as Server);
  },
  async hono(receiver) {
    const app = new Hono();
    app.all("/hook", honoHandler(receiver));
    const server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }) as Server;
    return listening(server);
  },
  next: (receiver) => ({
    async send(headers, body, method = "POST") {
      if (method !== "POST") return { status: 405, text: "" };
      const request = new Request("http://next.test/hook", { method, headers, body });
      const response = await nextHandlers(receiver).POST(request);
      return { status: response.status, text: await response.text() };
    },
  }),
  "lambda, format 2.0": (receiver) => lambda(receiver, true, true),
  "lambda, format 1.0": (receiver) => lambda(receiver, false, false),
};

const receiverWith = (seen: string[] = []): Receiver => {
  const receiver = createReceiver({
    verify: { secrets: secret },
    store: memoryStore(),
    on: { "session.ended": ({ extractedVariables }) => void seen.push(JSON.stringify(extractedVariables)) },
    limits: { bodyBytesMax: 10_000 },
    notify: () => {},
  });
  ends.push(() => receiver.close({ withinMs: 100 }));
  return receiver;
};

describe.each(Object.entries(adapters))("the adapter for %s", (name, open) => {
  test("takes a signed event, tells its duplicate, and refuses what is wrong", async () => {
    const seen: string[] = [];
    const { send } = await open(receiverWith(seen));
    // Spaces and letters that parsing and writing again would change.
    const body = bodies["session.ended"]("s").replace(
      '{"name":"Nancy"}',
      '{ "name" : "Zo\\u00eb Ünal 😀", "n": 1.0 }',
    );
    const headers = signedHeaders(body);
    expect(await send(headers, body)).toEqual({ status: 200, text: '{"status":"accepted"}' });
    expect(await send(headers, body)).toEqual({ status: 200, text: '{"status":"duplicate"}' });
    await until("the handler has run", () => seen.length === 1);
    expect(seen).toEqual(['{"name":"Zoë Ünal 😀","n":1}']);
    expect((await send(headers, `${body} `)).status).toBe(401);
    expect((await send({ "content-type": "application/json" }, body)).status).toBe(401);
    const big = JSON.stringify({ event: "x", sessionId: "s", v: "x".repeat(20_000) });
    expect((await send(signedHeaders(big), big)).status).toBe(413);
    if (!["next", "fastify"].includes(name)) expect((await send(headers, body, "PUT")).status).toBe(405);
  });
});

test("express.json() before the receiver is told to the operator, and nothing is taken", async () => {
  const told = vi.spyOn(console, "error").mockImplementation(() => {});
  ends.push(() => told.mockRestore());
  const app = express();
  app.use(express.json());
  app.post("/hook", expressHandler(receiverWith()));
  const { send } = await listening(createServer(app as RequestListener));
  const body = bodies["session.ended"]("s");
  expect((await send(signedHeaders(body), body)).status).toBe(500);
  expect(told.mock.calls.flat().join()).toContain("before express.json()");
});

test("a sender that is refused in the middle of its body is cut, not read", async () => {
  const { port } = await listening(createServer(nodeHandler(receiverWith())));
  const socket = connect(port ?? 0, "127.0.0.1");
  let answer = "";
  socket.on("data", (chunk) => {
    answer += chunk;
  });
  socket.on("error", () => {});
  socket.write(
    "POST /hook HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 999999999\r\n\r\n{",
  );
  await once(socket, "close");
  expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  expect(answer.toLowerCase()).toContain("connection: close");
});

test("behind Next's after and in a Lambda worker, handlers run that no request has waited for", async () => {
  let runs = 0;
  const receiver = createReceiver({
    ...{ verify: { secrets: secret }, store: memoryStore(), work: "manual", notify: () => {} },
    on: { "session.ended": () => void runs++ },
  });
  const later: (() => Promise<unknown>)[] = [];
  const { POST } = nextHandlers(receiver, { after: (work) => void later.push(work) });
  const request = (id: string) => {
    const body = bodies["session.ended"](id);
    return new Request("http://next.test", { method: "POST", headers: signedHeaders(body), body });
  };
  expect((await POST(request("a"))).status).toBe(200);
  expect(runs).toBe(0);
  for (const work of later) await work();
  expect(runs).toBe(1);
  await receiver.handle(request("b"));
  expect(await lambdaWorker(receiver)(null, { getRemainingTimeInMillis: () => 60_000 })).toEqual({
    handled: 1,
  });
  expect(await lambdaWorker(receiver)(null, { getRemainingTimeInMillis: () => 4_000 })).toEqual({
    handled: 0,
  });
});
