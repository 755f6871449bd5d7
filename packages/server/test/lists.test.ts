import { WebhookLog } from "@sendoff/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";

let server: TestServer;
let sink: Sink;
const project = (): string => `/v1/projects/${server.projectId}`;

interface Page {
  data: Array<Record<string, string>>;
  nextCursor: string | null;
  pagination?: { page: number; totalPages: number; total: number };
}
async function list(what: "sessions" | "webhook-logs", query: string): Promise<Page> {
  const answer = await server.api("GET", `${project()}/${what}?${query}`);
  expect(answer.status, answer.text).toBe(200);
  return answer.body;
}
const idsOf = (page: Page, field = "sessionId"): string[] => page.data.map((item) => item[field] ?? "");

/** Every page of a list, from the first to the last; `between` runs after each. */
async function walk(
  what: "sessions" | "webhook-logs",
  query: string,
  between: () => Promise<unknown> = async () => {},
): Promise<Page[]> {
  const pages = [await list(what, query)];
  for (let cursor = pages[0]?.nextCursor; typeof cursor === "string"; cursor = pages.at(-1)?.nextCursor) {
    await between();
    pages.push(await list(what, `${query}&cursor=${encodeURIComponent(cursor)}`));
    if (pages.length > 100) throw new Error("the list does not end");
  }
  return pages;
}

const create = (sessionId: string, channel: string, variables: object = {}): Promise<unknown> =>
  server.api("POST", `${project()}/sessions`, { sessionId, channel, variables });
const report = (sessionId: string, type: string, body: object): Promise<unknown> =>
  server.api("POST", `${project()}/sessions/${sessionId}/${type}`, body);
const conversation = {
  currentNodeId: "bye",
  messagesCount: 2,
  extractedVariables: { who: "Nancy's 100%_?" },
};

/** Ids of the sessions, oldest first. */
const all = ["s-0", "s-1", "s-2", "s-3", "s-4", "s-5", "s-6"];

beforeAll(async () => {
  server = await startTestServer();
  sink = await startSink((response, { json }) => {
    response.statusCode = json.sessionId === "s-4" ? 500 : 200;
    response.end();
  });
  const webhook = { url: sink.url, events: ["session.ended", "call.ended", "session.finalized"] };
  await server.api("PATCH", `${project()}/agent`, { postSessionWebhook: webhook });
  for (const [n, id] of all.entries()) await create(id, n < 4 ? "call" : "text");
  await report("s-1", "call-ended", { callStatus: "busy", callDuration: 0 });
  await report("s-2", "call-ended", { callStatus: "userHangup", callDuration: 5 });
  await report("s-2", "conversation-ended", conversation);
  await report("s-4", "conversation-ended", conversation);
  await report("s-5", "conversation-ended", { ...conversation, extractedVariables: {} });
  await until("all attempts are logged", async () => (await list("webhook-logs", "")).data.length === 8);
});
afterAll(async () => {
  await server.stop();
  await sink.close();
});

describe("the list of sessions", () => {
  test.each([
    ["", [...all].reverse()],
    ["channel=text", ["s-6", "s-5", "s-4"]],
    ["channel=call&limit=2", ["s-3", "s-2"]],
    ["callStatus=busy", ["s-1"]],
    ["callStatus=error", []],
    ["state=open", ["s-6", "s-3", "s-0"]],
    ["state=ending", ["s-1"]],
    ["state=finalized", ["s-5", "s-4", "s-2"]],
    ["state=finalized&channel=call", ["s-2"]],
    ["text=Nancy's", ["s-4", "s-2"]],
    ["text=nancy", []],
    ["text=100%25_", ["s-4", "s-2"]],
    ["text=%25", ["s-4", "s-2"]],
    ["text=_%3F", ["s-4", "s-2"]],
    ["text=s-3", ["s-3"]],
    ["text=%27%20OR%201%3D1", []],
  ])("with %j has the right ones, newest first", async (query, expected) => {
    expect(idsOf(await list("sessions", query))).toEqual(expected);
  });

  test("from a moment on and before another, as createdAt shows them, in any offset", async () => {
    const moments = ["2026-05-01T10:00:00.123456Z", "2026-05-02T10:00:00Z", "2026-05-03T10:00:00Z"];
    for (const [n, moment] of moments.entries()) {
      await server.pool.query("UPDATE sessions SET created_at = $1 WHERE session_id = $2", [
        moment,
        `s-${n}`,
      ]);
    }
    const between = async (from: string, to: string): Promise<string[]> =>
      idsOf(await list("sessions", `from=${encodeURIComponent(from)}&to=${encodeURIComponent(to)}`));
    expect(await between("2026-05-01T10:00:00Z", "2026-05-03T10:00:00Z")).toEqual(["s-1", "s-0"]);
    expect(await between("2026-05-02T12:00:00+02:00", "2026-05-03T10:00:00.001Z")).toEqual(["s-2", "s-1"]);
    expect(await between("2026-05-02T10:00:00.001Z", "2026-05-03T10:00:00Z")).toEqual([]);
    const { data } = await list("sessions", "to=2026-05-02T00:00:00Z");
    expect(await between(String(data[0]?.createdAt), "2026-05-02T00:00:00Z")).toEqual(["s-0"]);
  });

  test.each([1, 2, 3, 6, 7, 8])("in pages of %i has each once and no other", async (limit) => {
    const pages = await walk("sessions", `limit=${limit}&to=2027-01-01T00:00:00Z`);
    const [first] = pages;
    expect(pages.length).toBe(Math.ceil(7 / limit));
    expect(first?.data.length).toBe(Math.min(limit, 7));
    expect(pages.flatMap((page) => idsOf(page))).toEqual([...all].reverse());
  });

  test("has no gap and no repeat while new sessions come in, and those of one moment too", async () => {
    await server.pool.query(
      "UPDATE sessions SET created_at = '2026-05-04T10:00:00.000001Z' WHERE session_id IN ('s-3', 's-4', 's-5')",
    );
    const expected = idsOf(await list("sessions", ""));
    let born = 0;
    const pages = await walk("sessions", "limit=1", () => create(`new-${born++}`, "call"));
    expect(pages.flatMap((page) => idsOf(page))).toEqual(expected);
    expect(born).toBe(expected.length - 1);
    expect(idsOf(await list("sessions", "limit=1"))).toEqual([`new-${born - 1}`]);
  });

  test("by page and pageSize tells how many there are, and has all of them once", async () => {
    const { total } = (await list("sessions", "page=1&pageSize=3")).pagination ?? { total: 0 };
    expect(total).toBe((await list("sessions", "")).data.length);
    const totalPages = Math.ceil(total / 3);
    const seen: string[] = [];
    for (let page = 1; page <= totalPages; page++) {
      const answer = await list("sessions", `page=${page}&pageSize=3`);
      expect(answer.pagination).toEqual({ page, totalPages, total });
      expect(answer.nextCursor).toBe(null);
      seen.push(...idsOf(answer));
    }
    expect(seen).toEqual(idsOf(await list("sessions", "")));
    expect((await list("sessions", `page=${totalPages + 1}&pageSize=3`)).data).toEqual([]);
    expect((await list("sessions", "pageSize=2&channel=text")).pagination).toEqual({
      page: 1,
      totalPages: 2,
      total: 3,
    });
    expect((await list("sessions", "")).pagination).toBeUndefined();
  });
});

describe("the list of webhook_logs", () => {
  const told = (page: Page): string[] =>
    page.data.map(({ sessionId, event, outcome }) => `${sessionId} ${event} ${outcome}`).sort();

  test.each([
    ["sessionId=s-4", ["s-4 session.ended rejected", "s-4 session.finalized rejected"]],
    ["event=call.ended", ["s-1 call.ended delivered", "s-2 call.ended delivered"]],
    [
      "event=call.ended,session.ended&sessionId=s-2",
      ["s-2 call.ended delivered", "s-2 session.ended delivered"],
    ],
    ["outcome=rejected", ["s-4 session.ended rejected", "s-4 session.finalized rejected"]],
    ["outcome=rejected,unknown&event=session.ended", ["s-4 session.ended rejected"]],
    ["outcome=blocked", []],
    ["sessionId=s-0", []],
    ["endpointId=00000000-0000-4000-8000-000000000000", []],
  ])("with %j has the right ones", async (query, expected) => {
    expect(told(await list("webhook-logs", query))).toEqual(expected);
  });

  test("with an endpoint or a span of time has that one's, in the published shape", async () => {
    const every = await list("webhook-logs", "");
    for (const log of every.data) expect(WebhookLog.safeParse(log).error).toBeUndefined();
    const [newest] = every.data;
    expect((await list("webhook-logs", `endpointId=${newest?.endpointId}`)).data).toEqual(every.data);
    const moments = idsOf(every, "attemptedAt");
    expect(moments.length).toBe(8);
    const later = new Date(Date.parse([...moments].sort().at(-1) ?? "") + 1).toISOString();
    expect((await list("webhook-logs", `from=${later}`)).data).toEqual([]);
    expect((await list("webhook-logs", `to=${later}`)).data).toEqual(every.data);
    const earliest = [...moments].sort()[0] ?? "";
    expect((await list("webhook-logs", `from=${earliest}`)).data.length).toBe(8);
    expect((await list("webhook-logs", `to=${earliest}`)).data).toEqual([]);
  });

  test.each([1, 3, 8, 9])(
    "in pages of %i has each once, newest first, while more are written",
    async (limit) => {
      const { data } = await list("webhook-logs", "");
      const expected = data.map(({ id }) => id ?? "");
      const moments = data.map(({ attemptedAt }) => attemptedAt);
      expect(moments).toEqual([...moments].sort().reverse());
      let born = 0;
      const write = async (): Promise<void> => {
        const id = `log-${limit}-${born++}`;
        await report(id, "conversation-ended", { ...conversation, channel: "call" });
        await until(
          "it is logged",
          async () => (await list("webhook-logs", `sessionId=${id}`)).data.length === 1,
        );
      };
      const pages = await walk("webhook-logs", `limit=${limit}`, limit < 8 ? write : undefined);
      expect(pages.flatMap((page) => idsOf(page, "id"))).toEqual(expected);
    },
  );

  test("of another project is empty, and its rows are not found there", async () => {
    const { id, key } = (await server.api("POST", "/v1/projects", { name: "Other" }, server.developerKey))
      .body.data;
    const [newest] = (await list("webhook-logs", "limit=1")).data;
    expect((await server.api("GET", `/v1/projects/${id}/webhook-logs`, undefined, key)).body.data).toEqual(
      [],
    );
    const answer = await server.api("GET", `/v1/projects/${id}/webhook-logs/${newest?.id}`, undefined, key);
    expect(answer.body.error.code).toBe("webhook_log_not_found");
    const own = await server.api("GET", `${project()}/webhook-logs/${newest?.id}`);
    expect(own.body.data).toMatchObject({ ...newest, requestBody: expect.stringMatching(/^\{"event":/) });
  });
});
