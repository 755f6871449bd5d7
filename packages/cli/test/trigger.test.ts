import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { payloadSchemas } from "@sendoff/contract";
import { Webhook } from "standardwebhooks";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { newSecret } from "../src/send/signature.ts";
import { run } from "./command.ts";

let server: TestServer;
let sink: Sink;
const secret = newSecret();

beforeAll(async () => {
  server = await startTestServer();
});
beforeEach(async () => {
  sink = await startSink();
});
afterEach(() => sink.close());
afterAll(() => server.stop());

const trigger = (...args: string[]) => run(["trigger", ...args], { SENDOFF_SIGNING_SECRET: secret });
const through = (...args: string[]) => run(["trigger", ...args], { SENDOFF_DATA: server.dataFolder });
const events = (): string[] => sink.received.map(({ json }) => json.event);

test("a call and a text session go to a URL as Sendoff sends them: valid bodies, natural order, signed", async () => {
  expect((await trigger("call", sink.url)).status).toBe(0);
  expect((await trigger("text", sink.url)).status).toBe(0);
  expect(events()).toEqual([
    "session.ended",
    "call.ended",
    "session.finalized",
    "recording.ready",
    "session.ended",
    "session.finalized",
  ]);
  for (const { json, body, headers } of sink.received) {
    expect(payloadSchemas[json.event as "call.ended"].safeParse(json).success, body).toBe(true);
    expect(new Webhook(secret).verify(body, headers as Record<string, string>)).toBeTruthy();
  }
  expect(sink.received[5]?.json).not.toHaveProperty("callStatus");
});

test("status, recording, order and duplicates are as asked for", async () => {
  const args = [
    "call",
    sink.url,
    "--status",
    "busy",
    "--recording",
    "failed",
    "--order",
    "shuffled",
    "--duplicate",
    "2",
  ];
  const { status, out } = await trigger(...args, "--seed", "7", "--json");
  expect(status).toBe(0);
  expect(out.trimEnd().split("\n")).toHaveLength(8);
  const bodies = sink.received.map(({ body, headers }) => `${headers["webhook-id"]} ${body}`);
  expect(new Set(bodies).size).toBe(4);
  const call = sink.received.find(({ json }) => json.event === "call.ended")?.json;
  expect(call).toMatchObject({ callStatus: "busy", callDuration: 0 });
  const recording = sink.received.find(({ json }) => json.event === "recording.ready")?.json;
  expect(recording.success).toBe(false);
  const ends = events().filter((event) => event !== "recording.ready");
  expect(ends.slice(-2)).toEqual(["session.finalized", "session.finalized"]);
});

test("shuffled orders differ, and session.finalized is always the last of its three", async () => {
  const orders = new Set<string>();
  for (let seed = 0; seed < 24; seed += 1) {
    sink.received.length = 0;
    await trigger("call", sink.url, "--order", "shuffled", "--seed", String(seed), "--recording", "failed");
    const order = events();
    orders.add(order.join());
    expect(order.indexOf("session.finalized")).toBeGreaterThan(order.indexOf("session.ended"));
    expect(order.indexOf("session.finalized")).toBeGreaterThan(order.indexOf("call.ended"));
  }
  expect(orders.size).toBeGreaterThan(4);
});

test("a receiver on this machine can fetch the recording after its answer", async () => {
  let audio: Promise<Response> | null = null;
  const receiver = createServer(async (request, response) => {
    const body = JSON.parse(Buffer.concat(await request.toArray()).toString());
    response.end();
    if (body.recordingUrl) audio = fetch(body.recordingUrl);
  });
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  await trigger("call", `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`);
  const answer = await (audio as Promise<Response> | null);
  receiver.close();
  expect(answer?.status).toBe(200);
  expect(answer?.headers.get("content-type")).toBe("audio/wav");
});

test("an answer other than 2xx, and none, make the exit status 1", async () => {
  const failing = await startSink((response) => response.writeHead(500).end("\u001b[31mno"));
  const refused = await trigger("text", failing.url);
  await failing.close();
  expect(refused.status).toBe(1);
  expect(refused.out).toContain("500 in");
  expect(refused.out).toContain("\\u{1b}[31mno");
  expect(await trigger("text", "http://127.0.0.1:9/")).toMatchObject({
    status: 1,
    out: expect.stringContaining("no answer (ECONNREFUSED)"),
  });
});

test("through a project the reports go in any order and twice, and each event is delivered once", async () => {
  const { status, out, err } = await through(
    ...[
      "call",
      "--status",
      "busy",
      "--recording",
      "failed",
      "--order",
      "shuffled",
      "--duplicate",
      "2",
      "--json",
    ],
  );
  expect(status, err).toBe(0);
  const { settled, deliveries } = JSON.parse(out);
  expect(settled).toBe(true);
  expect(
    deliveries.map(({ event, state }: { event: string; state: string }) => `${event} ${state}`).sort(),
  ).toEqual([
    "call.ended delivered",
    "recording.ready delivered",
    "session.ended delivered",
    "session.finalized delivered",
  ]);
  const people = await through("text");
  expect(people.status, people.err).toBe(0);
  expect(people.out).toMatch(
    /event +attempt +outcome +status +took +endpoint\n.*session\.ended +1 +delivered +200/s,
  );
});

test("a session with a recording that is ready is delivered whole through a project", async () => {
  const { status, out, err } = await through("call", "--json");
  expect(status, err).toBe(0);
  expect(JSON.parse(out).deliveries).toHaveLength(4);
});

test("a server that is away is told in one sentence", async () => {
  const away = { SENDOFF_API_URL: "http://127.0.0.1:9", SENDOFF_KEY: "sk_x", SENDOFF_PROJECT: "p" };
  expect(await run(["trigger", "text"], away)).toMatchObject({
    status: 2,
    err: "http://127.0.0.1:9 does not answer (ECONNREFUSED). Start it with npm start.\n",
  });
});

test("what cannot be is refused with a sentence", async () => {
  const text = await trigger("text", sink.url, "--recording", "failed");
  expect(text).toMatchObject({ status: 2, err: expect.stringContaining("A text session has no --status") });
  const busy = await trigger("call", sink.url, "--status", "busy", "--duration", "5");
  expect(busy).toMatchObject({ status: 2, err: expect.stringContaining("carried no traffic") });
  expect(await trigger("call", sink.url, "--status", "Busy")).toMatchObject({ status: 2 });
  expect(await trigger("chat", sink.url)).toMatchObject({ status: 2 });
  expect(await trigger("call", sink.url, "--variables", "[1]")).toMatchObject({
    status: 2,
    err: expect.stringContaining("Expected a JSON object"),
  });
  expect(sink.received).toHaveLength(0);
});
