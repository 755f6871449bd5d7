import { expect, test } from "vitest";
import { until } from "../../../test/until.ts";
import { createLog } from "../src/log.ts";

function logged(): { lines: Array<Record<string, unknown>>; log: ReturnType<typeof createLog> } {
  const lines: Array<Record<string, unknown>> = [];
  return { lines, log: createLog("info", { write: (line) => void lines.push(JSON.parse(line)) }) };
}

test("of a failure that happens a thousand times a second one line is written at once, and one a second with the number", async () => {
  const { lines, log } = logged();
  for (let index = 0; index < 1_000; index += 1) {
    log.error({ event: "report.batch_failed", reason: `connect ECONNREFUSED\n    at line ${index}`, index });
  }
  expect(lines).toMatchObject([{ event: "report.batch_failed", index: 0 }]);
  await until("the rest is told of", () => lines.length > 1);
  expect(lines).toMatchObject([{}, { event: "report.batch_failed", index: 999, repeated: 999 }]);
});

test("failures that differ in their event or their reason each have their line", () => {
  const { lines, log } = logged();
  log.error({ event: "a", reason: "x" });
  log.error({ event: "a", reason: "y" });
  log.error({ event: "b", reason: "x" });
  log.warn({ event: "c", reason: "x" });
  expect(lines.length).toBe(4);
});

test("lines that tell of no failure, or that somebody knows the id of, are all written", () => {
  const { lines, log } = logged();
  for (let index = 0; index < 10; index += 1) {
    log.info({ event: "report.answered", reason: "x" });
    log.error({ event: "http.failed", reason: "x", requestId: `${index}` });
    log.warn({ event: "delivery.blocked", origin: "x" });
  }
  expect(lines.length).toBe(30);
});

test("a failure that comes again after it was quiet is written at once", async () => {
  const { lines, log } = logged();
  log.error({ event: "a", reason: "x" });
  await until("a second has passed", () => {
    log.error({ event: "a", reason: "x", index: lines.length });
    return lines.some(({ repeated }) => repeated !== undefined);
  });
  expect(lines.length).toBe(2);
});
