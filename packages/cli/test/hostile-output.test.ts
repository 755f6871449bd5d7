// What a stranger sent is text on a terminal, and never an instruction to it.
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";
import { tail } from "../src/commands/tail.ts";
import { jsonLine } from "../src/visible.ts";

let server: TestServer;
const evil = "\u001b[31m\u009b2J\u202e\n\u001b]0;title\u0007";

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

test.each([undefined, true] as const)(
  "sendoff tail (--json: %s) shows what a stranger sent as text",
  async (json) => {
    const body = JSON.stringify({ event: evil, sessionId: evil, currentNodeId: evil });
    for (const sent of [body, evil]) {
      const headers = { "webhook-id": "\u009b2J", "sendoff-trigger": "\u009b31m" };
      expect((await fetch(server.inspectorUrl, { method: "POST", body: sent, headers })).status).toBe(200);
    }
    let output = "";
    const stream = {
      isTTY: false,
      write(text: string) {
        output += text;
        return true;
      },
    };
    const stop = new AbortController();
    const env = { SENDOFF_DATA: server.dataFolder };
    const flags = { fromStart: true, ...(json === undefined ? {} : { json }) } as const;
    const ended = tail(flags, { stdout: stream, stderr: stream, env } as never, stop.signal);
    await until("it has read all", () => output.includes("Watching"));
    stop.abort();
    await ended;
    const lines = output.trimEnd().split("\n");
    expect(lines.length).toBeGreaterThanOrEqual(3);
    for (const line of lines) expect(line).toMatch(/^[^\p{Cc}\p{Cf}]+$/u);
    if (json) expect(lines.slice(0, -1).map((line) => JSON.parse(line).body)).toContain(evil);
  },
);

test("a line of JSON is the same when it is parsed, and has nothing that a terminal obeys", () => {
  const value = { [evil]: [evil, "\u{e0041}", "\u2028", "👩\u200d🚀"] };
  expect(JSON.parse(jsonLine(value))).toEqual(value);
  expect(jsonLine(value).replace("\u200d", "")).toMatch(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u);
});
