import { expect, test } from "vitest";
import { deliveryLine } from "../src/delivery-line.ts";
import { visible } from "../src/visible.ts";

test("control characters and ANSI escapes are shown, not obeyed", () => {
  expect(visible("a\u001b[31mred\u001b[0m")).toBe("a\\u{1b}[31mred\\u{1b}[0m");
  expect(visible("one\r\ntwo\ttab\u0007\u007f\u009b2J")).toBe(
    "one\\u{d}\\u{a}two\\u{9}tab\\u{7}\\u{7f}\\u{9b}2J",
  );
});

test("bidi controls, invisible characters and half surrogates are shown", () => {
  expect(visible("abc\u202egnp.exe\u2066x\u2069")).toBe("abc\\u{202e}gnp.exe\\u{2066}x\\u{2069}");
  expect(visible("a\u200bb\ufeffc\u2028d\u{e0041}e\ud800f")).toBe(
    "a\\u{200b}b\\u{feff}c\\u{2028}d\\u{e0041}e\\u{d800}f",
  );
});

test("text of any language and its joiners stays as it is", () => {
  const text = "你好 ¿qué tal? مرحبا می‌خواهم 👩‍🚀";
  expect(visible(text)).toBe(text);
});

test("long text is cut", () => {
  expect(visible("x".repeat(500), 10)).toBe(`${"x".repeat(10)}…`);
});

const request = (body: string, headers: Record<string, string> = {}) => ({
  id: "1",
  receivedAt: "2026-05-03T08:42:14.022Z",
  headers: {
    "webhook-id": "msg_2c4f9a137e6b",
    "sendoff-attempt": "1",
    "sendoff-trigger": "live",
    ...headers,
  },
  body,
});

test("a delivery's line names the event, the session and what matters", () => {
  const body =
    '{"event":"session.finalized","sessionId":"s-1","currentNodeId":"bye","messagesCount":8,"callStatus":"userHangup","callDuration":78}';
  const line = deliveryLine(request(body), false);
  expect(line).toMatch(
    /^\d\d:\d\d:14\.022 {2}session\.finalized {2}s-1 {2}userHangup, 78 s, at bye, 8 messages {2}…9a137e6b$/,
  );
  const retried = deliveryLine(request(body, { "sendoff-attempt": "2", "sendoff-trigger": "resend" }), false);
  expect(retried).toMatch(/ attempt 2 {2}resend$/);
});

test("colours are only there when they are asked for", () => {
  const body = '{"event":"call.ended","sessionId":"s-1","callStatus":"busy","callDuration":0}';
  expect(deliveryLine(request(body), false)).not.toContain("\u001b");
  expect(deliveryLine(request(body), true)).toContain("\u001b[33mcall.ended");
});

test("whatever a stranger sent stays on one line and writes nothing to the terminal", () => {
  const evil = "\u001b]0;title\u0007\n\u202e";
  const bodies = [
    JSON.stringify({ event: evil, sessionId: evil }),
    JSON.stringify({ event: "session.ended", sessionId: evil, currentNodeId: evil, messagesCount: evil }),
    JSON.stringify({ event: "call.ended", sessionId: { evil }, callStatus: evil, callDuration: evil }),
    `not json ${evil}`,
    "[1,2]",
  ];
  for (const body of bodies) {
    const line = deliveryLine(
      request(body, { "webhook-id": evil, "sendoff-attempt": evil, "sendoff-trigger": evil }),
      false,
    );
    expect(line).not.toMatch(/[\p{Cc}\u202e]/u);
  }
});
