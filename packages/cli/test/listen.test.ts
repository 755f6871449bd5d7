// `sendoff listen` against a real server: through connections that are cut, and over restarts of either side.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import { type ListenFlags, listen } from "../src/commands/listen.ts";
import { rawMember } from "../src/listen/raw-member.ts";
import { newSecret } from "../src/send/signature.ts";
import { run } from "./command.ts";

let server: TestServer;
let folder: string;
let sink: Sink;
const ending: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  server = await startTestServer();
  folder = await mkdtemp(join(tmpdir(), "sendoff-listen-"));
});
beforeEach(async () => {
  sink = await startSink();
});
afterEach(async () => {
  for (const end of ending.splice(0)) await end();
  await sink.close();
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Starts listening and waits until the stream is open. */
async function listening(flags: Partial<ListenFlags>, apiUrl = server.apiUrl) {
  const written = { out: "", err: "" };
  const stop = new AbortController();
  const whole: ListenFlags = {
    forward: sink.url,
    events: ["session.ended", "call.ended", "session.finalized", "recording.ready"],
    from: "now",
    header: {},
    timeout: 5_000,
    patience: 20_000,
    ...flags,
  };
  const env = {
    SENDOFF_API_URL: apiUrl,
    SENDOFF_KEY: server.projectKey,
    SENDOFF_PROJECT: server.projectId,
    SENDOFF_DATA: folder,
  };
  const io = {
    stdout: { write: (text: string) => (written.out += text) },
    stderr: { write: (text: string) => (written.err += text) },
    env,
  };
  const ended = listen(whole, io, stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    await ended;
  };
  ending.push(end);
  await until("it listens", () => written.err.includes("Listening"));
  return { written, end };
}

async function report(sessionId: string, variables = '{"name":"Nancy"}'): Promise<void> {
  const body = `{"channel":"text","currentNodeId":"bye","messagesCount":2,"extractedVariables":${variables}}`;
  const answer = await server.api(
    "POST",
    `/v1/projects/${server.projectId}/sessions/${sessionId}/conversation-ended`,
    body,
  );
  expect(answer.status, answer.text).toBe(200);
}

const arrivedOf = (sessionId: string): string[] =>
  sink.received.filter(({ json }) => json.sessionId === sessionId).map(({ json }) => json.event);

test("each event comes as its endpoint gets it: the same bytes and webhook-id, rightly signed", async () => {
  const secret = newSecret();
  const { written } = await listening({ secret, header: { authorization: "Bearer mine" } });
  await report("exact-1", '{"big":9007199254740993,"huge":1e400,"__proto__":{"a":1},"nul":"a\\u0000b"}');
  await sink.arrived(2);
  const { rows } = await server.pool.query<{ payload: string; webhook_id: string }>(
    `SELECT payload, webhook_id FROM events WHERE payload LIKE '%"exact-1"%' ORDER BY event_id`,
  );
  expect(sink.received.map(({ body }) => body)).toEqual(rows.map(({ payload }) => payload));
  expect(sink.received.map(({ headers }) => headers["webhook-id"])).toEqual(
    rows.map((row) => row.webhook_id),
  );
  for (const { body, headers } of sink.received) {
    expect(new Webhook(secret).verify(body, headers as Record<string, string>)).toBeTruthy();
    expect(headers).toMatchObject({ authorization: "Bearer mine", "content-type": "application/json" });
  }
  await until("both answers are shown", () => written.out.split("\n").length === 3);
  expect(written.out).toMatch(/session\.ended {6}exact-1 {2}200 in \d+ ms {2}ok\n/);
});

test("without a secret one of its own signs: it is printed, and is the same the next time", async () => {
  const first = await listening({ events: ["session.finalized"], json: true });
  const secret = /whsec_\S+/.exec(first.written.err)?.[0] ?? "";
  await report("own-1");
  await sink.arrived(1);
  const [received] = sink.received;
  expect(
    new Webhook(secret).verify(received?.body ?? "", received?.headers as Record<string, string>),
  ).toBeTruthy();
  expect(arrivedOf("own-1")).toEqual(["session.finalized"]);
  await until("the answer is shown", () => first.written.out !== "");
  expect(JSON.parse(first.written.out)).toMatchObject({
    event: "session.finalized",
    answer: { status: 200, body: "ok" },
  });
  await first.end();
  expect((await listening({})).written.err).toContain(secret);
});

test("connections that are cut all the time lose nothing and repeat nothing", async () => {
  const proxy = await cuttingProxy(new URL(server.apiUrl));
  ending.push(async () => proxy.close());
  const { written } = await listening({}, proxy.url);
  const ids = Array.from({ length: 40 }, (_, index) => `cut-${index}`);
  for (const [index, id] of ids.entries()) {
    await report(id);
    if (index % 4 === 0) proxy.cut();
  }
  await until("all have come", () => sink.received.length >= 80, 60_000);
  for (const id of ids) expect(arrivedOf(id), id).toEqual(["session.ended", "session.finalized"]);
  expect(sink.received).toHaveLength(80);
  expect(written.err).toContain("waiting for it to come back");
  expect(written.err).toContain("going on where it stopped");
});

test("with a cursor file the next run goes on right behind the one before, also when a receiver was away", async () => {
  const cursor = join(folder, "listen.cursor");
  const first = await listening({ cursor });
  await report("kept-1");
  await sink.arrived(2);
  await until("the place is kept", async () => (await readFile(cursor, "utf8").catch(() => "")) !== "");
  await first.end();
  await report("kept-2");
  const { url } = sink;
  await sink.close();
  const second = await listening({ cursor });
  await until("it waits for the receiver", () =>
    second.written.err.includes("takes no connection (ECONNREFUSED)"),
  );
  // Stopped while it waits: the event was not sent, and is not passed over.
  await second.end();
  sink = await startSink();
  expect(sink.url).not.toBe(url);
  await listening({ cursor });
  await sink.arrived(2);
  await report("kept-3");
  await sink.arrived(4);
  expect(sink.received.map(({ json }) => `${json.sessionId} ${json.event}`)).toEqual([
    "kept-2 session.ended",
    "kept-2 session.finalized",
    "kept-3 session.ended",
    "kept-3 session.finalized",
  ]);
});

test("a cursor of changes that the database has lost is told of, and events come from before them", async () => {
  await report("before-1");
  const cursor = join(folder, "gone.cursor");
  // Of a PostgreSQL that was started in 1970.
  await writeFile(cursor, Buffer.from("[5,1,1]").toString("base64url"));
  const { written } = await listening({ cursor });
  expect(written.err).toMatch(
    /The place in the feed is lost \(410 cursor_gone: .*going on from before it\.\n/,
  );
  await until("what was there comes", () => arrivedOf("before-1").length === 2);
  await until("the new place is kept", async () => (await readFile(cursor, "utf8")).length > 20);
});

test("--from oldest begins with the first event there is", async () => {
  await report("oldest-1");
  const { rows } = await server.pool.query<{ count: string }>(
    "SELECT count(*) FROM events WHERE event <> 'session.started'",
  );
  await listening({ from: "oldest" });
  await sink.arrived(Number(rows[0]?.count));
  expect(arrivedOf("oldest-1")).toEqual(["session.ended", "session.finalized"]);
});

test("what another try cannot change ends it with a sentence", async () => {
  const env = { SENDOFF_API_URL: server.apiUrl, SENDOFF_PROJECT: server.projectId, SENDOFF_DATA: folder };
  const forward = ["listen", "--forward", sink.url];
  const wrongKey = await run(forward, { ...env, SENDOFF_KEY: `sk_${"x".repeat(43)}` });
  expect(wrongKey).toMatchObject({ status: 2, err: expect.stringContaining("401 wrong_key") });
  // With a place to go on from, it is the stream that is refused.
  const cursor = join(folder, "refused.cursor");
  await writeFile(cursor, "nonsense\n");
  const refused = await run([...forward, "--cursor", cursor], { ...env, SENDOFF_KEY: server.projectKey });
  expect(refused).toMatchObject({
    status: 2,
    err: expect.stringContaining("The events cannot be read: 422 invalid_query"),
  });
  const wrongEvent = await run([...forward, "--events", "call.end"], env);
  expect(wrongEvent).toMatchObject({ status: 2, err: expect.stringContaining('"call.end" is no event') });
  expect(await run([...forward, "--from", "yesterday"], env)).toMatchObject({ status: 2 });
  expect(await run([...forward, "--header", "Webhook-Id: 7"], env)).toMatchObject({
    status: 2,
    err: expect.stringContaining("is set by Sendoff itself"),
  });
});

test("the text of a member is cut out as it stands", () => {
  const json =
    '{"a":{"payload":1},"s":"\\"payload\\":[","payload":{"n":1e400,"x":"}\\\\","l":[1,{"y":2}]} ,"z":1}';
  expect(rawMember(json, "payload")).toBe('{"n":1e400,"x":"}\\\\","l":[1,{"y":2}]}');
  expect(rawMember(json, "z")).toBe("1");
  expect(rawMember(json, "none")).toBeNull();
  expect(rawMember('{"payload":null}', "payload")).toBe("null");
});

/** A way to the server whose connections can be cut. */
async function cuttingProxy(to: URL): Promise<{ url: string; cut(): void; close(): void }> {
  const sockets = new Set<Socket>();
  const proxy: Server = createServer((socket) => {
    const upstream = connect(Number(to.port), to.hostname);
    for (const one of [socket, upstream]) {
      sockets.add(one);
      one.on("error", () => {}).on("close", () => sockets.delete(one));
    }
    socket.pipe(upstream).pipe(socket);
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    cut,
    close() {
      cut();
      proxy.close();
    },
  };
}
