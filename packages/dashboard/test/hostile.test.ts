import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { launchChromium, openVisitor, type Visitor } from "./browser.ts";
import { hostileIds, payloads } from "./payloads.ts";
import { attempts, playCall, setWebhook } from "./sample.ts";

let browser: Browser;
let server: TestServer;
let sink: Sink;
let visitor: Visitor;
/** Each answer of the endpoint has as many payloads as are kept of it; together they have them all. */
const answers = [payloads.slice(0, 14), payloads.slice(14, 28), payloads.slice(28)].map((some) =>
  some.join("\n"),
);
beforeAll(async () => {
  server = await startTestServer();
  sink = await startSink((response, { json }) => {
    const turn = ["session.ended", "call.ended"].indexOf(json.event);
    response.writeHead(turn === 0 ? 500 : 200, {
      "content-type": "text/html",
      "x-note": "<script>pwned('header')</script>",
    });
    response.end(answers.at(turn));
  });
  browser = await launchChromium();
  visitor = await openVisitor(browser, server);
});
afterAll(async () => {
  await browser?.close();
  await sink?.close();
  await server?.stop();
});

const text = async (page: Page): Promise<string> => (await page.locator("#page").textContent()) ?? "";

describe("M10, R21: what strangers wrote", () => {
  beforeAll(async () => {
    const headers = [{ key: "x-onerror'pwned", value: payloads[1] ?? "" }];
    // In the address as it is after URL parsing: a query keeps quotes and brackets encoded.
    await setWebhook(server, `${sink.url}?x=%22%3E%3Cimg%20src=x%20onerror=pwned(%27url%27)%3E`, { headers });
    const second = await server.api("POST", `/project/${server.projectId}/webhooks`, {
      url: `${sink.url}/second?next=javascript:pwned(%27webhook%27)`,
      events: ["session.ended", "session.finalized"],
    });
    expect(second.status, second.text).toBe(201);
    const variables = Object.fromEntries(payloads.map((payload, index) => [`${index} ${payload}`, payload]));
    await playCall(server, "call-x", {
      variables,
      currentNodeId: payloads[1] ?? "",
      recordingError: payloads.slice(0, 12).join(" "),
    });
    for (const id of hostileIds.filter((one) => one !== "..")) {
      await playCall(server, id, { variables: { __proto__: payloads[2], constructor: payloads[3] } });
    }
    for (const payload of payloads) {
      await fetch(server.inspectorUrl, {
        method: "POST",
        body: payload,
        headers: { "x-forged": payload.replace(/[^\x20-\x7e]/g, "") },
      });
    }
    await server.api("POST", "/v1/projects", { name: payloads[1] }, server.developerKey);
    await attempts(server, "sessionId=call-x", 6);
  });

  test("40 payloads and more stand on the session's page as text: names, values, node, error", async () => {
    await visitor.visit("/sessions/call-x");
    const { page } = visitor;
    await page
      .getByRole("button", { name: /^session.ended, attempt 1/ })
      .first()
      .waitFor();
    const shown = await text(page);
    expect(payloads.length).toBeGreaterThanOrEqual(40);
    for (const [index, payload] of payloads.entries())
      expect(shown).toContain(`${index} ${payload}${payload}`);
    expect(shown).toContain(payloads.slice(0, 5).join(" "));
  });

  test("the endpoint's answers stand in the attempts as text", async () => {
    const { page } = visitor;
    const logs = await attempts(server, "sessionId=call-x", 6);
    const seen: string[] = [];
    for (const { id } of logs) {
      await visitor.visit(`/logs?log=${id}`);
      const response = page.getByRole("dialog").getByRole("region", { name: "Response", exact: true });
      await response.waitFor();
      seen.push((await response.textContent()) ?? "");
    }
    for (const answer of answers) expect(seen.some((one) => one.includes(answer))).toBe(true);
  });

  test("a body and headers that anybody sent stand in the inspector as text", async () => {
    const { page } = visitor;
    await visitor.visit("/inspector");
    for (const payload of payloads.slice(-3)) {
      await page
        .getByRole("region", { name: "Requests" })
        .getByRole("button", { name: "Not an event" })
        .nth(payloads.length - 1 - payloads.indexOf(payload))
        .click();
      await page.getByText(payload, { exact: true }).first().waitFor();
    }
  });

  test("ids, the webhook's address and names of projects are text on every page", async () => {
    const { page } = visitor;
    for (const path of ["/", "/sessions", "/logs", "/logs?view=unsent", "/settings"]) {
      await visitor.visit(path);
      await page.getByText("Loading").first().waitFor({ state: "detached" });
    }
    await visitor.visit("/sessions");
    await page.getByRole("link", { name: "javascript:pwned" }).click();
    await page.getByRole("heading", { name: "javascript:pwned", exact: true }).waitFor();
    for (const id of hostileIds.filter((one) => one !== "..")) {
      await visitor.visit(`/sessions/${encodeURIComponent(id)}`);
      await page.getByRole("heading", { name: id, exact: true }).waitFor();
    }
    expect(await page.getByLabel("Project", { exact: true }).textContent()).toContain(payloads[1]);
  });

  test("what stands in an address is text, and leads nowhere else after the sign-in", async () => {
    const { page } = visitor;
    for (const payload of payloads.slice(0, 4)) {
      const query = encodeURIComponent(payload);
      await visitor.visit(`/sessions?text=${query}&channel=${query}&span=${query}`);
      await visitor.visit(`/logs?outcome=${query}&event=${query}&log=${query}`);
      await visitor.visit(`/inspector?request=${query}`);
    }
    const stranger = await openVisitor(browser, server, { signedIn: false });
    for (const next of [
      "//evil.example/",
      "https://evil.example",
      "javascript:pwned('next')",
      "/\\evil.example",
      "/p/../../evil",
    ]) {
      await stranger.page.goto(`/dashboard/sign-in?next=${encodeURIComponent(next)}`);
      await stranger.page.getByLabel("Key").fill(server.developerKey);
      await stranger.page.getByRole("button", { name: "Sign in" }).click();
      await stranger.page.getByRole("heading", { name: "Overview" }).waitFor();
      expect(new URL(stranger.page.url()).origin).toBe(new URL(server.apiUrl).origin);
      await stranger.context.clearCookies();
    }
    expect(stranger.misdeeds).toEqual({ violations: [], executed: [], strayed: [], errors: [] });
    await stranger.context.close();
    await page.goto("about:blank");
  });

  test("0 were executed, 0 breached the content security policy, 0 requests went to another host", () => {
    expect(visitor.misdeeds).toEqual({ violations: [], executed: [], strayed: [], errors: [] });
  });

  test("and the watch would have seen one: a script that a page is given runs into the policy", async () => {
    const watched = await openVisitor(browser, server);
    await watched.visit("/settings");
    await watched.page.evaluate(
      "document.body.insertAdjacentHTML('beforeend', '<img src=//evil.example/x onerror=pwned(1)><svg onload=pwned(2)></svg>')",
    );
    await expect.poll(() => watched.misdeeds.violations.length).toBeGreaterThan(0);
    await watched.context.close();
  });
});

describe("M11: sizes and directions", () => {
  /** Until a page answers to its reader; more than enough for two cores that others use as well. */
  const usableMs = 4_000;

  async function timed(what: string, act: () => Promise<unknown>): Promise<void> {
    const begin = performance.now();
    await act();
    const ms = performance.now() - begin;
    console.log(`${what}: ${Math.round(ms)} ms`);
    expect(ms, what).toBeLessThan(usableMs);
  }

  test("a body of 1 MB in one line opens at its beginning, and whole when asked for", async () => {
    const { page } = visitor;
    const line = "long".repeat(250_000);
    await fetch(server.inspectorUrl, { method: "POST", body: `{"event":"x","text":"${line}"}` });
    await timed("an inspector with a megabyte", async () => {
      await visitor.visit("/inspector");
      await page.getByText("976.6 KiB").waitFor();
    });
    await timed("its raw text", () => page.getByRole("button", { name: "Raw" }).click());
    await timed("the whole of it", async () => {
      await page.getByRole("button", { name: /^Show all 1,000,\d+ characters/ }).click();
      await page.getByRole("button", { name: "Show the beginning" }).waitFor();
    });
    await timed("another page after it", () => visitor.visit("/sessions"));
  });

  test("10,000 variables, and a value of 100 KB, leave the page usable and can be searched", async () => {
    const { page } = visitor;
    const many = Object.fromEntries(
      Array.from({ length: 9_980 }, (_, index) => [`name-${index}`, `value ${index}`]),
    );
    await playCall(server, "call-many", { variables: many, recordingError: null });
    await playCall(server, "call-large", {
      variables: { large: "x".repeat(100_000), small: "y" },
      recordingError: null,
    });
    await timed("a session with 9,980 variables", async () => {
      await visitor.visit("/sessions/call-many");
      await page.getByText("9,980 of 9,980").waitFor();
    });
    expect(await page.locator("main *").count()).toBeLessThan(3_000);
    await timed("a search in them", async () => {
      await page.getByLabel("Find a variable").fill("name-9977");
      await page.getByText("1 of 9,980").waitFor();
    });
    await timed("a session with a value of 100 KB", async () => {
      await visitor.visit("/sessions/call-large");
      await page.getByRole("button", { name: "Show 99,400 more characters" }).waitFor();
    });
    await timed("its attempt", async () => {
      await page
        .getByRole("button", { name: /^session.ended, attempt 1/ })
        .first()
        .click();
      await page.getByRole("dialog").getByRole("region", { name: "Request", exact: true }).waitFor();
    });
  });

  test("text that runs from right to left turns nothing around it", async () => {
    const { page } = visitor;
    const hebrew = "שלום \u202eabc";
    await playCall(server, "call-rtl", {
      variables: { [hebrew]: hebrew, "\u200b": "zero width" },
      currentNodeId: hebrew,
    });
    await visitor.visit("/sessions/call-rtl");
    const shown = page.getByText(hebrew, { exact: true });
    await shown.first().waitFor();
    for (const element of await shown.all()) {
      const isolated = await element.evaluate((node) => {
        const style = (
          globalThis as unknown as { getComputedStyle(of: unknown): { unicodeBidi: string } }
        ).getComputedStyle(node);
        return style.unicodeBidi;
      });
      expect(isolated).toContain("isolate");
    }
    const wider = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
    expect(wider).toBeLessThanOrEqual(0);
  });
});
