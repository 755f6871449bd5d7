import { Agent, keptAgentFields } from "@sendoff/contract";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { startSink } from "../../../test/sink.ts";
import type { ApiAnswer } from "./refused.ts";

let server: TestServer;
const agent = (): string => `/v1/projects/${server.projectId}/agent`;
const get = async (): Promise<Record<string, unknown>> => (await server.api("GET", agent())).body.data;
const url = "https://hooks.example.com/in";

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

async function write(method: string, body: unknown): Promise<ApiAnswer> {
  const answer = await server.api(method, agent(), body);
  expect(answer.status, answer.text).toBe(200);
  return answer;
}

describe.each(["PUT", "PATCH"])("%s of the agent", (method) => {
  beforeEach(async () => {
    await write("PATCH", {
      name: "Before",
      timezone: "UTC",
      postSessionWebhook: { url, events: ["call.ended"] },
    });
  });

  test("changes the fields given and no other, and answers the agent as GET does", async () => {
    const before = await get();
    const { body } = await write(method, { name: "After" });
    expect(body.data).toEqual({ ...before, name: "After", updatedAt: body.data.updatedAt });
    expect(Date.parse(body.data.updatedAt)).toBeGreaterThan(Date.parse(String(before.updatedAt)));
    expect(await get()).toEqual(body.data);
    expect(Agent.safeParse(body.data).error).toBeUndefined();
  });

  test("with no field at all leaves everything", async () => {
    const { updatedAt: _before, ...before } = await get();
    await write(method, {});
    expect(await get()).toMatchObject(before);
  });

  test("replaces the webhook as a whole: what is not given is gone", async () => {
    await write(method, {
      postSessionWebhook: {
        url,
        headers: [{ key: "X-A", value: "a-long-value" }],
        delivery: { timeout: "5s" },
      },
    });
    expect((await get()).postSessionWebhook).toEqual({
      url,
      headers: [{ key: "X-A", value: "••••alue" }],
      delivery: { timeout: "5s" },
    });
    await write(method, { postSessionWebhook: { url: "https://other.example.com/" } });
    expect((await get()).postSessionWebhook).toEqual({ url: "https://other.example.com/" });
  });

  test("has no events when none were given, and those given in their order when some were", async () => {
    await write(method, { postSessionWebhook: { url } });
    expect((await get()).postSessionWebhook).not.toHaveProperty("events");
    const events = ["recording.ready", "session.ended"];
    await write(method, { postSessionWebhook: { url, events } });
    expect((await get()).postSessionWebhook).toEqual({ url, events });
    await write(method, { postSessionWebhook: { url, headers: [] } });
    expect((await get()).postSessionWebhook).toEqual({ url, headers: [] });
  });

  test("null takes the webhook away, and the rest stays", async () => {
    await write(method, { postSessionWebhook: null });
    expect(await get()).toMatchObject({ name: "Before", postSessionWebhook: null });
    await write(method, { postSessionWebhook: null });
    await write(method, { postSessionWebhook: { url } });
    expect((await get()).postSessionWebhook).toEqual({ url });
  });
});

describe("the fields that mean nothing to Sendoff", () => {
  test("come back exactly as they were given, all of them", async () => {
    const strange = '{"2":9007199254740993,"1":1e400,"__proto__":{"a":1},"n\\u0000":"\\ud800","f":0.10}';
    const members = keptAgentFields.map(
      (field, n) => `"${field}": ${n % 2 === 0 ? strange : `[ ${strange} , null ]`}`,
    );
    const { text } = await write("PUT", `{ ${members.join(" , ")} }`);
    const answer = await server.api("GET", agent());
    for (const [n, field] of keptAgentFields.entries()) {
      const member = `"${field}":${n % 2 === 0 ? strange : `[${strange},null]`}`;
      expect(text).toContain(member);
      expect(answer.text).toContain(member);
    }
  });

  test("an agent can be read, changed and written back as existing clients do", async () => {
    const plain = Object.fromEntries(
      keptAgentFields.map((field, n) => [field, [n, { field }, "text", null]]),
    );
    await write("PUT", plain);
    await write("PATCH", {
      name: "Round",
      promptModules: [{ id: 1 }],
      postSessionWebhook: { url, headers: [{ key: "A", value: "the-secret" }] },
    });
    const { projectId: _id, updatedAt: _at, ...read } = await get();
    const { body } = await write("PUT", { ...read, name: "Trip" });
    expect(body.data).toMatchObject({ ...read, name: "Trip" });
  });

  test("null is kept as null", async () => {
    await write("PATCH", { timezone: null });
    expect(await get()).toHaveProperty("timezone", null);
  });
});

describe("the values of headers", () => {
  test("are shown by their last 4 characters when they have more than 8, else by nothing", async () => {
    const values = ["", "a", "12345678", "123456789", "x".repeat(4_000)];
    const headers = values.map((value, n) => ({ key: `X-${n}`, value }));
    const { text, body } = await write("PATCH", { postSessionWebhook: { url, headers } });
    expect(body.data.postSessionWebhook.headers.map(({ value }: { value: string }) => value)).toEqual([
      "••••",
      "••••",
      "••••",
      "••••6789",
      "••••xxxx",
    ]);
    expect(text).not.toContain("12345");
    const { rows } = await server.pool.query("SELECT * FROM endpoints");
    expect(JSON.stringify(rows)).not.toContain("12345678");
  });

  test("written back masked, with the same URL, are sent as they were", async () => {
    const sink = await startSink();
    const headers = [
      { key: "Authorization", value: "Bearer a-long-secret" },
      { key: "X-Short", value: "blue" },
    ];
    await write("PATCH", { postSessionWebhook: { url: sink.url, headers } });
    const shown = (await get()).postSessionWebhook as { headers: Array<{ key: string; value: string }> };
    // Another order, another case, a new one among them, and other events: only the URL must be the same.
    const [first, second] = shown.headers as [{ key: string; value: string }, { key: string; value: string }];
    const again = [second, { key: "X-New", value: "new" }, { ...first, key: "authorization" }];
    await write("PUT", { postSessionWebhook: { url: sink.url, headers: again, events: ["session.ended"] } });
    await server.api("POST", `${agent().replace("agent", "sessions")}/mask-1/conversation-ended`, {
      channel: "text",
      currentNodeId: "bye",
      messagesCount: 1,
      extractedVariables: {},
    });
    await sink.arrived(1);
    expect(sink.received[0]?.headers).toMatchObject({
      authorization: "Bearer a-long-secret",
      "x-short": "blue",
      "x-new": "new",
    });
    await sink.close();
  });

  test("written back masked with the URL in another spelling are still the same", async () => {
    const headers = [{ key: "A", value: "the-secret-itself" }];
    await write("PATCH", { postSessionWebhook: { url: "https://hooks.example.com/", headers } });
    const masked = [{ key: "A", value: "••••self" }];
    await write("PATCH", { postSessionWebhook: { url: "https://hooks.example.com", headers: masked } });
    expect((await get()).postSessionWebhook).toEqual({ url: "https://hooks.example.com/", headers: masked });
  });
});

test("two changes at the same moment lose neither", async () => {
  const fields = keptAgentFields.map((field, n) => [field, `value ${n}`] as const);
  const answers = await Promise.all(
    fields.map(([field, value]) => server.api("PATCH", agent(), { [field]: value })),
  );
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  expect(await get()).toMatchObject(Object.fromEntries(fields));
});

test("each project has an agent of its own", async () => {
  const { id, key } = (await server.api("POST", "/v1/projects", { name: "Other" }, server.developerKey)).body
    .data;
  const other = await server.api("GET", `/v1/projects/${id}/agent`, undefined, key);
  expect(other.body.data).toMatchObject({ projectId: id, postSessionWebhook: null });
  await server.api("PATCH", `/v1/projects/${id}/agent`, { name: "other's" }, key);
  expect((await get()).name).not.toBe("other's");
});
