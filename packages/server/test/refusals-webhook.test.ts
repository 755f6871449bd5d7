import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { checkHeaders } from "../src/tenancy/endpoint-rules.ts";
import { type ApiAnswer, expectRefused } from "./refused.ts";

let server: TestServer;
const agent = (): string => `/v1/projects/${server.projectId}/agent`;
const standing = {
  url: "https://hooks.example.com/in",
  headers: [
    { key: "Authorization", value: "Bearer a-secret-of-ours" },
    { key: "X-Short", value: "12345678" },
  ],
  events: ["call.ended"],
};
const secret = "s3cret-of-a-stranger";

let before: unknown;

const patch = (webhook: object, more: object = {}): Promise<ApiAnswer> =>
  server.api("PATCH", agent(), { ...more, postSessionWebhook: webhook });
const withHeaders = (...headers: Array<[key: string, value: string]>): Promise<ApiAnswer> =>
  patch({ url: standing.url, headers: headers.map(([key, value]) => ({ key, value })) });

/** The agent as every test finds it. */
async function putStanding(): Promise<void> {
  expect((await patch(standing, { name: "Before" })).status).toBe(200);
  before = (await server.api("GET", agent())).body;
}

beforeAll(async () => {
  server = await startTestServer();
  await putStanding();
});
afterAll(() => server.stop());
// Whatever was refused has changed nothing, of the other fields neither.
afterEach(async () => {
  const { body } = await server.api("GET", agent());
  const expected = before;
  // A test that was wrongly let through must fail alone.
  if (JSON.stringify(body) !== JSON.stringify(before)) await putStanding();
  expect(body).toEqual(expected);
});

describe("the headers of a webhook", () => {
  test.each(["X A", "X-A:", "X-A\r\nB", "X-É", "X(A)", "X-A ", "a/b", "a\0", "X-\u212Aey"])(
    "a name that is not a token is refused: %j",
    async (key) => {
      const answer = await withHeaders(["X-Fine", "1"], [key, secret]);
      expectRefused(answer, "invalid_header", "not_a_token", "Header 2", JSON.stringify(key));
      expect(answer.body.error.details[0].path).toMatch(/headers\[1\]/);
      expect(answer.text).not.toContain(secret);
    },
  );

  const denied =
    "accept-encoding connection content-encoding content-length content-type cookie2 date expect forwarded host " +
    "http2-settings keep-alive metadata metadata-flavor te trailer transfer-encoding upgrade user-agent via " +
    "x-real-ip __proto__ constructor proxy-authorization proxy-connection x-forwarded-for webhook-id " +
    "webhook-signature webhook-anything sendoff-attempt sendoff-x x-sendoff-event sec-fetch-mode x-amz-date " +
    "x-goog-user x-aws-ec2-metadata-token";
  test.each(denied.split(" "))("%s is refused in whatever case", async (name) => {
    for (const key of [name, name.toUpperCase(), name.replace(/^./, (first) => first.toUpperCase())]) {
      const answer = await withHeaders([key, secret]);
      expectRefused(answer, "invalid_header", "denied_header", JSON.stringify(key));
      expect(answer.text).not.toContain(secret);
    }
  });

  test("a name that stands twice is refused, in whatever case", async () => {
    expectRefused(
      await withHeaders(["X-A", "1"], ["x-a", "2"]),
      "invalid_header",
      "duplicate_header",
      "Header 2",
    );
  });

  test.each([
    "v\r\nInjected: 1",
    "v\n",
    "\rv",
    "v\0x",
    "\u560aInjected",
    "\u010a",
    "é",
    "v\x7f",
    " v",
    "v ",
    "\tv",
    "v\t",
    " ",
  ])("a value with %j is refused and not shown", async (value) => {
    const answer = await withHeaders(["X-A", value]);
    expectRefused(answer, "invalid_header", "forbidden_character", '"X-A"');
    expect(answer.body.error.message).not.toContain("Injected");
  });

  test("more than 20, or more than 8 KiB of them, are refused", async () => {
    const many = (count: number): Array<[string, string]> =>
      Array.from({ length: count }, (_, n) => [`x-${n}`, "v"]);
    expectRefused(await withHeaders(...many(21)), "invalid_body", "postSessionWebhook.headers");
    const long = "v".repeat(4_000);
    expectRefused(
      await withHeaders(["a", long], ["b", long], ["c", "v".repeat(190)]),
      "invalid_header",
      "8193",
      "8192",
    );
    const full = [long, long, "v".repeat(189)].map((value, n) => ({ key: "abc"[n] ?? "", value }));
    expect(() => checkHeaders(full)).not.toThrow();
  });

  test.each<[object, string]>([
    [{ key: "X-A" }, "headers[0].value: missing; expected a string"],
    [{ key: "", value: "v" }, "headers[0].key"],
    [{ key: "X-A", value: 7 }, "expected a string; given 7"],
    [{ name: "X-A", key: "X-A", value: "v" }, "headers[0].name: unknown field"],
  ])("a header is a key and a value: %j", async (header, part) => {
    expectRefused(await patch({ url: standing.url, headers: [header] }), "invalid_body", part);
  });

  test("ordinary names and values are taken", () => {
    const headers = ["Authorization", "X-Route", "accept", "Cookie", "x_1.2~3!#$%&'*+^`|"].map((key) => ({
      key,
      value: 'a value, with "marks" and\ta tab',
    }));
    expect(() => checkHeaders(headers)).not.toThrow();
    expect(() => checkHeaders([{ key: "X-Empty", value: "" }])).not.toThrow();
  });
});

describe("a masked value that is written back", () => {
  const masked = { key: "Authorization", value: "••••ours" };

  test.each<[string, object, string]>([
    ["with another URL", { url: "https://evil.example.com/in", headers: [masked] }, "URL has changed"],
    ["with another path", { url: `${standing.url}/`, headers: [masked] }, "URL has changed"],
    ["under another name", { url: standing.url, headers: [{ ...masked, key: "X-Other" }] }, "no such value"],
    ["with another end", { url: standing.url, headers: [{ ...masked, value: "••••sruo" }] }, "no such value"],
    ["with nothing shown", { url: standing.url, headers: [{ ...masked, value: "••••" }] }, "no such value"],
    [
      "of a short value with its end",
      { url: standing.url, headers: [{ key: "X-Short", value: "••••5678" }] },
      "no such value",
    ],
  ])("%s is refused", async (_what, webhook, part) => {
    const answer = await patch(webhook);
    expectRefused(answer, "masked_value", "is masked", part, "write it in full");
    expect(answer.body.error.details).toEqual([
      { path: "postSessionWebhook.headers[0].value", message: "expected the value in full" },
    ]);
    expect(answer.text).not.toContain("a-secret-of-ours");
  });
});

describe("other fields of the webhook", () => {
  test.each<[string, object, string]>([
    ["events", { events: [] }, "postSessionWebhook.events"],
    ["events", { events: ["session.ended", "session.ended"] }, "expected each event once"],
    ["events", { events: ["session.endd"] }, 'given "session.endd"'],
    [
      "events",
      { events: ["session.started"] },
      "postSessionWebhook.events[0]: expected one of session.ended",
    ],
    ["events", { events: "session.ended" }, "expected an array"],
    ["timeout", { delivery: { timeout: "31s" } }, "expected from 100ms to 30s"],
    ["timeout", { delivery: { timeout: "10" } }, 'such as "10s"'],
    ["delivery", { delivery: { retrys: 1 } }, "postSessionWebhook.delivery.retrys: unknown field"],
    ["webhook", { event: ["call.ended"] }, "postSessionWebhook.event: unknown field; did you mean events?"],
    ["webhook", { header: [] }, "did you mean headers?"],
  ])("wrong %s: %j", async (_field, wrong, part) => {
    expectRefused(await patch({ url: standing.url, ...wrong }), "invalid_body", part);
  });
});
