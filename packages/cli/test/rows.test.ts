import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { callStatuses } from "@sendoff/contract";
import { afterEach, beforeEach, expect, test } from "vitest";
import { demoFile, parseRow, readRows } from "../src/simulate/rows.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sendoff-rows-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const file = (text: string): string => {
  const path = join(folder, "sessions.jsonl");
  writeFileSync(path, text);
  return path;
};

test("the demo has calls and chats, every call status that a row can state, and the odd cases", () => {
  const rows = readRows(demoFile);
  expect(rows).toHaveLength(24);
  expect(rows.filter((row) => row.kind === "text").length).toBeGreaterThan(5);
  const stated = new Set(rows.map((row) => row.callStatus));
  for (const status of callStatuses) expect(stated, status).toContain(status);
  expect(rows.some((row) => row.kind === "call" && row.messagesCount === null)).toBe(true);
  expect(rows.some((row) => row.callDuration === 0 && (row.messagesCount ?? 0) > 0)).toBe(true);
  expect(rows.some((row) => row.recorded)).toBe(true);
});

test("a file that cannot be read, is empty or names a session twice is refused in a sentence", () => {
  expect(() => readRows(join(folder, "none.jsonl"))).toThrow(/none\.jsonl cannot be read/);
  expect(() => readRows(file("\n\n"))).toThrow(/holds no sessions/);
  const line = '{"id":"a","kind":"text"}\n';
  expect(() => readRows(file(line + line))).toThrow(/has the session a twice/);
});

test("a wrong line is named with the field and what was expected", () => {
  expect(() => readRows(file('{"id":"a","kind":"text"}\nnot json\n'))).toThrow(
    /line 2: the line must be a JSON object/,
  );
  expect(() => parseRow('{"id":"a b","kind":"text"}', "x, line 1")).toThrow(/x, line 1: id must be 1 to 128/);
  expect(() => parseRow('{"id":"a","kind":"video"}', "x, line 1")).toThrow(/kind must be "call" or "text"/);
  expect(() => parseRow('{"id":"a","kind":"call","callStatus":"gone"}', "x, line 1")).toThrow(
    /callStatus must be/,
  );
  expect(() => parseRow('{"id":"a","kind":"text","messagesCount":1.5}', "x, line 1")).toThrow(
    /messagesCount must be/,
  );
});
