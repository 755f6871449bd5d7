import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { expectRefused } from "./refused.ts";

let server: TestServer;
const project = (): string => `/v1/projects/${server.projectId}`;
const session = (sessionId: string, report = ""): string => `${project()}/sessions/${sessionId}${report}`;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const conversation = { channel: "text", currentNodeId: "bye", messagesCount: 2, extractedVariables: {} };
const call = { callStatus: "userHangup", callDuration: 78 };

describe("what does not go with what is known", () => {
  /** A session without what changes by itself: its deliveries and attempts. */
  const stored = async (sessionId: string): Promise<Record<string, unknown>> => {
    const { timeline, ...rest } = (await server.api("GET", session(sessionId))).body.data;
    const events = timeline.events.map(({ event }: { event: string }) => event);
    return { ...rest, events, reports: timeline.reports };
  };

  test("the end of a call, or a recording, of a text session is 409 channel_conflict and changes nothing", async () => {
    await server.api("POST", `${project()}/sessions`, { sessionId: "k-1", channel: "text" });
    const before = await stored("k-1");
    expectRefused(
      await server.api("POST", session("k-1", "/call-ended"), call),
      "channel_conflict",
      "k-1 is a text session",
      "as a call session",
    );
    expectRefused(
      await server.api("POST", session("k-1", "/recording-processed"), { success: false }),
      "channel_conflict",
    );
    expectRefused(
      await server.api("POST", `${project()}/sessions`, { sessionId: "k-1", channel: "call" }),
      "channel_conflict",
    );
    expect(await stored("k-1")).toEqual(before);
  });

  test("a second report that says otherwise is 409 with what is stored, and the first one stands", async () => {
    await server.api("POST", session("k-2", "/call-ended"), call);
    const before = await stored("k-2");
    const answer = await server.api("POST", session("k-2", "/call-ended"), { ...call, callDuration: 79 });
    expectRefused(answer, "report_contradicts", '"callStatus":"userHangup"', '"callDuration":78');
    expect(await stored("k-2")).toEqual(before);
  });

  test("progress after the end is 409 conversation_over and changes nothing", async () => {
    await server.api("POST", session("k-3", "/conversation-ended"), conversation);
    const before = await stored("k-3");
    expectRefused(
      await server.api("PATCH", session("k-3"), { messagesCount: 9 }),
      "conversation_over",
      "k-3",
      "only before that",
    );
    expect(await stored("k-3")).toEqual(before);
  });

  test("variables of more than 256 KiB are refused by each report that has some, counted in bytes", async () => {
    const large = { a: "é".repeat(128 * 1024) };
    const all: Array<[method: string, path: string, body: object]> = [
      ["POST", `${project()}/sessions`, { sessionId: "k-4", channel: "call", variables: large }],
      ["PATCH", session("k-4"), { extractedVariables: large }],
      ["POST", session("k-4", "/conversation-ended"), { ...conversation, extractedVariables: large }],
    ];
    for (const [method, path, body] of all) {
      const answer = await server.api(method, path, body);
      expectRefused(answer, "variables_too_large", "262152 bytes", "at most 262144");
      expect(answer.body.error.details[0].path).toMatch(/ariables$/);
    }
    expectRefused(await server.api("GET", session("k-4")), "session_not_found");
  });

  test("progress that adds up past 256 KiB is refused and leaves what there was", async () => {
    const part = (name: string): object => ({ extractedVariables: { [name]: "x".repeat(100 * 1024) } });
    for (const name of ["a", "b", "a"])
      expect((await server.api("PATCH", session("k-5"), part(name))).status).toBe(200);
    expectRefused(
      await server.api("PATCH", session("k-5"), part("c")),
      "variables_too_large",
      "k-5",
      "nothing was changed",
    );
    const { extractedVariables } = await stored("k-5");
    expect(Object.keys(extractedVariables as object)).toEqual(["a", "b"]);
  });
});
