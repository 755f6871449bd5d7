import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { planCheck } from "../src/conformance/plan.ts";
import { ruleIds, rules } from "../src/conformance/rules.ts";

const root = resolve(import.meta.dirname, "../../..");
const ours = Object.entries(rules).filter(([, { source }]) => source.startsWith("docs/"));

test.each(ours)("%s: the sentence that asks for it stands in its page", (_id, { asks, source }) => {
  const page = readFileSync(join(root, source), "utf8");
  expect(page.replace(/\*\*/g, "").replace(/\s+/g, " ")).toContain(asks);
});

test("every rule has POSTs of its own, or is seen from those of others", () => {
  const plan = planCheck({
    run: "check-x",
    at: new Date(),
    signed: true,
    hasHeaders: true,
    newWebhookId: () => "msg_x",
  });
  const planned = new Set(plan.flatMap(({ steps }) => steps.flat()).map(({ rule }) => rule));
  expect(ruleIds.filter((rule) => !planned.has(rule))).toEqual(["fast", "processed", "dedupe"]);
});

test("all eight legal orders of a call are sent", () => {
  const options = {
    run: "check-x",
    at: new Date(),
    signed: false,
    hasHeaders: false,
    newWebhookId: () => "msg_x",
  };
  const orders = planCheck(options)
    .filter(({ steps }) => steps[0]?.[0]?.rule === "orders")
    .map(({ steps }) => steps.map(([post]) => post?.event).join());
  expect(new Set(orders).size).toBe(8);
});

test("only a legal order is sent: session.finalized is the last of its three in every session", () => {
  const options = {
    run: "check-x",
    at: new Date(),
    signed: true,
    hasHeaders: true,
    newWebhookId: () => "msg_x",
  };
  for (const { steps } of planCheck(options)) {
    const last = (event: string): number =>
      steps.findIndex((step) => step.some((post) => post.event === event));
    if (last("session.finalized") === -1) continue;
    expect(last("session.finalized")).toBeGreaterThan(last("session.ended"));
    expect(last("session.finalized")).toBeGreaterThan(last("call.ended"));
  }
});
