// Every page, light and dark, at a laptop's and a phone's width: no breach of axe-core's rules, and nothing wider than the
// window. Then what people do most, by keyboard alone.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Browser, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import { launchChromium, openVisitor, type Scheme, type Visitor, type Width } from "./browser.ts";
import { attempts, playCall, setWebhook } from "./sample.ts";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let browser: Browser;
let server: TestServer;
let sink: Sink;
let failedLog: string;
beforeAll(async () => {
  server = await startTestServer();
  // The first call fails at first: a page with green alone is a page half seen.
  sink = await startSink((response, { json, headers }) => {
    response.statusCode = json.sessionId === "call-1" && headers["sendoff-attempt"] === "1" ? 503 : 200;
    response.end('{"message":"as told"}');
  });
  await setWebhook(server, sink.url, { delivery: { retries: { attempts: 3, window: "1h" } } });
  await server.api("POST", `/project/${server.projectId}/webhooks`, {
    url: server.inspectorUrl,
    events: ["session.ended", "session.finalized"],
  });
  for (const id of ["call-1", "call-2"])
    await playCall(server, id, { variables: { name: "Nancy", vip: true } });
  // One end is missing: its deadline is in the future.
  await server.api("POST", `/v1/projects/${server.projectId}/sessions/call-3/conversation-ended`, {
    channel: "call",
    currentNodeId: "bye",
    messagesCount: 3,
    extractedVariables: {},
  });
  failedLog = (await attempts(server, "sessionId=call-1&outcome=rejected", 1))[0]?.id ?? "";
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await sink?.close();
  await server?.stop();
});

const pages: Record<string, (page: Page) => Promise<void>> = {
  "/": (page) => page.getByText("Success rate").waitFor(),
  "/sessions": (page) => page.getByRole("link", { name: "call-1" }).waitFor(),
  "/sessions/call-1": (page) =>
    page
      .getByRole("button", { name: /^session.ended, attempt 1/ })
      .first()
      .waitFor(),
  "/sessions/call-3": (page) =>
    page
      .getByText(/^Expected by/)
      .first()
      .waitFor(),
  "/logs": (page) => page.getByRole("table", { name: "Attempts" }).waitFor(),
  "/logs?log=": (page) =>
    page.getByRole("dialog").getByRole("region", { name: "Response", exact: true }).waitFor(),
  "/logs?view=unsent": (page) =>
    page.getByText("Every event had a place to go").or(page.getByRole("table")).waitFor(),
  "/inspector": (page) => page.getByText("Signature valid").first().waitFor(),
  "/settings": (page) => page.getByRole("button", { name: "Send test event" }).waitFor(),
};

const looks: [Width, Scheme][] = [
  ["laptop", "light"],
  ["laptop", "dark"],
  ["phone", "light"],
  ["phone", "dark"],
];

async function expectWhole(page: Page, where: string): Promise<void> {
  // A sheet that still moves has colors of its own.
  await page.evaluate(
    "Promise.all(document.getAnimations().filter((one) => one.effect.getTiming().iterations === 1).map((one) => one.finished))",
  );
  await page.evaluate(axe);
  const found = (await page.evaluate(
    `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ": " + nodes.map((node) => node.html.slice(0, 160) + " " + node.any.map(({ message }) => message).join(" ").slice(0, 160)).slice(0, 3).join(" | ")))`,
  )) as string[];
  expect(found, where).toEqual([]);
  const wider = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
  expect(wider, `${where} is wider than the window`).toBeLessThanOrEqual(0);
}

describe.each(looks)("on a %s, %s", (width, scheme) => {
  let visitor: Visitor;
  beforeAll(async () => {
    visitor = await openVisitor(browser, server, { width, scheme });
  });
  afterAll(() => visitor.context.close());

  test("the sign-in is whole", async () => {
    const stranger = await openVisitor(browser, server, { width, scheme, signedIn: false });
    await stranger.page.goto("/dashboard/");
    await stranger.page.getByRole("heading", { name: "Sign in to Sendoff" }).waitFor();
    await expectWhole(stranger.page, "the sign-in");
    await stranger.picture("sign-in");
    await stranger.context.close();
  });

  test.each(Object.keys(pages))("the page %s is whole", async (path) => {
    await visitor.visit(path === "/logs?log=" ? `${path}${failedLog}` : path);
    await pages[path]?.(visitor.page);
    await expectWhole(visitor.page, path);
    await visitor.picture(`page${path.replaceAll(/[^a-z0-9]+/g, "-").replace(/-$/, "") || "-overview"}`);
  });

  test("dialogs, lists of options and the sheet of a new webhook are whole", async () => {
    const { page } = visitor;
    await visitor.visit("/logs");
    await page.getByRole("combobox", { name: "Outcome: any" }).click();
    await page.getByRole("option", { name: /^Rejected/ }).waitFor();
    await expectWhole(page, "a list of options");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Resend all" }).click();
    await page.getByRole("dialog").waitFor();
    await expectWhole(page, "the question before resending");
    await visitor.visit("/settings");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByRole("dialog").getByLabel("URL").waitFor();
    await expectWhole(page, "the sheet of a new webhook");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Account and appearance" }).click();
    await page.getByRole("button", { name: "Sign out" }).waitFor();
    await expectWhole(page, "the account's menu");
  });

  test("nothing broke the policy or went to another host", () => {
    expect(visitor.misdeeds).toEqual({ violations: [], executed: [], strayed: [], errors: [] });
  });
});

/** Presses Tab until something has the focus. */
async function tabTo(page: Page, wanted: Locator, pressesMax = 120): Promise<void> {
  await wanted.waitFor();
  for (let presses = 0; presses < pressesMax; presses += 1) {
    if (await hasFocus(wanted)) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`Tab did not reach ${wanted} within ${pressesMax} presses`);
}

const hasFocus = (element: Locator): Promise<boolean> =>
  element.evaluate(
    (node) =>
      node === (node as unknown as { ownerDocument: { activeElement: unknown } }).ownerDocument.activeElement,
  );

describe("by keyboard alone", () => {
  test("one signs in, finds a call, looks at an attempt, resends it and comes back", async () => {
    const { page, context, misdeeds } = await openVisitor(browser, server, { signedIn: false });
    await page.goto("/dashboard/");
    await tabTo(page, page.getByLabel("Key"));
    await page.keyboard.type(server.developerKey);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await tabTo(page, page.getByRole("link", { name: "Sessions", exact: true }).first());
    await page.keyboard.press("Enter");
    await tabTo(page, page.getByLabel("Search in ids and variables"));
    await page.keyboard.type("call-2");
    await page.waitForURL(/text=call-2/);
    await tabTo(page, page.getByRole("link", { name: "call-2" }));
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "call-2" }).waitFor();
    const bar = page
      .getByRole("region", { name: /^Agent's webhook/ })
      .getByRole("button", { name: /^session.finalized, attempt 1/ });
    await tabTo(page, bar);
    await page.keyboard.press("Enter");
    const resend = page.getByRole("dialog").getByRole("button", { name: "Resend" });
    await tabTo(page, resend);
    await page.keyboard.press("Enter");
    await page.getByText("It is sent again as attempt 2").waitFor();
    await page.keyboard.press("Escape");
    // The focus is where it was before.
    await until("the bar has the focus again", () => hasFocus(bar));
    await page.getByRole("button", { name: /^session.finalized, attempt 2/ }).waitFor();
    expect(misdeeds.errors).toEqual([]);
    await context.close();
  });

  test("one chooses a filter, changes the webhook's events, sends a test event and signs out", async () => {
    const { page, context, visit } = await openVisitor(browser, server);
    await visit("/logs");
    await tabTo(page, page.getByRole("combobox", { name: "Outcome: any" }));
    await page.keyboard.press("Enter");
    await page.getByRole("option", { name: /^Rejected/ }).waitFor();
    await page.keyboard.type("Rej");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Escape");
    await page.waitForURL(/outcome=rejected/);
    await tabTo(page, page.getByRole("link", { name: "Settings" }).first());
    await page.keyboard.press("Enter");
    const recording = page.getByLabel("recording.ready");
    await tabTo(page, recording);
    await page.keyboard.press("Space");
    expect(await recording.isChecked()).toBe(false);
    await tabTo(page, page.getByRole("button", { name: "Save the webhook" }));
    await page.keyboard.press("Enter");
    await page.getByText("Saved.").waitFor();
    await tabTo(page, page.getByRole("button", { name: "Send test event" }));
    await page.keyboard.press("Enter");
    await page.getByRole("region", { name: "Answer to the test event" }).getByText("Delivered").waitFor();
    await tabTo(page, page.getByRole("button", { name: "Account and appearance" }));
    await page.keyboard.press("Enter");
    await tabTo(page, page.getByRole("button", { name: "Sign out" }));
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Sign in to Sendoff" }).waitFor();
    await context.close();
  });
});
