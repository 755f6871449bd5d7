// What a new user does, in a real browser: from what npm start prints to a resent delivery.
import { rm } from "node:fs/promises";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newFolder, npmStart, runSendoff, type SendoffProcess, startProcess } from "../../../test/process.ts";
import { atHand, type ServerAtHand } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { postUrl } from "../../server/src/egress/inspector-url.ts";
import { launchChromium, openVisitor, type Visitor } from "./browser.ts";
import { playCall } from "./sample.ts";

let browser: Browser;
let started: SendoffProcess;
let server: ServerAtHand;
let sink: Sink;
let visitor: Visitor;
beforeAll(async () => {
  const dataFolder = await newFolder();
  started = await startProcess({ SENDOFF_DATA: dataFolder, PORT: "0" }, "start", npmStart);
  server = atHand(started.start, dataFolder);
  browser = await launchChromium();
  sink = await startSink((response) => response.end('{"stored":true}'));
  visitor = await openVisitor(browser, server, { signedIn: false });
});
afterAll(async () => {
  await browser?.close();
  await sink?.close();
  await started?.end("SIGINT");
  await rm(server.dataFolder, { recursive: true, force: true });
});

/** The steps build on each other: each begins where the one before ended. */
describe("a new user", () => {
  test("signs in by the link that the start prints; it stands in no address afterwards and works once", async () => {
    const { page } = visitor;
    await page.goto(server.signInUrl ?? "");
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    expect(page.url()).not.toContain("token");
    expect(await page.evaluate("document.cookie")).toBe("");
    const other = await openVisitor(browser, server, { signedIn: false });
    await other.page.goto(server.signInUrl ?? "");
    await other.page.getByRole("alert").filter({ hasText: "link" }).waitFor();
    await other.page.getByLabel("Key").fill("dk_wrong");
    await other.page.getByRole("button", { name: "Sign in" }).click();
    await other.page.getByRole("alert").filter({ hasText: "key" }).waitFor();
    await other.context.close();
  });

  test("is told what to do where nothing is yet", async () => {
    const { page } = visitor;
    await page.getByText("Nothing happened in this time").waitFor();
    await visitor.visit("/sessions");
    await page.getByText("No session yet").waitFor();
    await visitor.visit("/logs");
    await page.getByText("No attempt yet").waitFor();
    await visitor.visit("/inspector");
    await page.getByText("Nothing has arrived yet").waitFor();
    await visitor.pictures("empty-inspector");
  });

  test("sets the agent's webhook for three events, with what the API says at the field", async () => {
    const { page } = visitor;
    await visitor.visit("/settings");
    await page.getByLabel("URL").fill("http://10.0.0.1/hook");
    await page.getByRole("button", { name: "Save the webhook" }).click();
    const url = page.getByLabel("URL");
    await page.locator("input[type=url][aria-invalid=true]").waitFor();
    const told = ((await url.getAttribute("aria-describedby")) ?? "").split(" ")[0];
    const said = await page.locator(`[id="${told}"]`).textContent();
    expect(said).toContain("https");
    await url.fill(sink.url);
    await page.getByLabel("call.ended").uncheck();
    await page.getByRole("button", { name: "Add a header" }).click();
    await page.getByLabel("Name of header 1").fill("X-Route");
    await page.getByLabel("Value of header 1").fill("clinic-production");
    await page.getByText("Example").first().click();
    await page.getByText('"extractedVariables"').first().waitFor();
    await page.getByRole("button", { name: "Save the webhook" }).click();
    await page.getByText("Saved.").waitFor();
    await visitor.pictures("webhook-saved");
    expect(await page.getByLabel("Value of header 1").inputValue()).toBe("••••tion");
    const { body } = await server.api("GET", `/v1/projects/${server.projectId}/agent`);
    expect(body.data.postSessionWebhook).toMatchObject({
      url: sink.url,
      events: ["session.ended", "session.finalized", "recording.ready"],
    });
  });

  test("sends a test event and sees its answer", async () => {
    const { page } = visitor;
    await page.getByRole("button", { name: "Send test event" }).click();
    const answer = page.getByRole("region", { name: "Answer to the test event" });
    await answer.getByText("Delivered").waitFor();
    await answer.getByText('"stored"').waitFor();
    expect(sink.received.at(-1)?.headers).toMatchObject({
      "sendoff-trigger": "test",
      "x-route": "clinic-production",
    });
    await visitor.pictures("test-event");
  });

  test("rotates the signing secret, which is shown once and signs at once", async () => {
    const { page } = visitor;
    await page.getByRole("button", { name: "Rotate the secret" }).click();
    await page.getByRole("button", { name: "Make a new secret" }).click();
    const secret = page.locator("[data-secret]");
    await secret.waitFor();
    expect(await secret.textContent()).toMatch(/^whsec_/);
    await page.reload();
    await page.getByRole("heading", { level: 1 }).waitFor();
    expect(await page.getByText("whsec_").count()).toBe(0);
  });

  test("adds and removes a project webhook", async () => {
    const { page } = visitor;
    await page.getByRole("button", { name: "Add", exact: true }).click();
    const sheet = page.getByRole("dialog");
    await sheet.getByLabel("URL").fill(server.inspectorUrl);
    await sheet.getByLabel("session.started").check();
    await sheet.getByRole("button", { name: "Add the webhook" }).click();
    expect(await sheet.locator("[data-secret]").textContent()).toMatch(/^whsec_/);
    await sheet.getByRole("button", { name: "Done" }).click();
    const row = page.getByRole("listitem").filter({ hasText: postUrl(server.inspectorUrl) });
    await row.getByRole("button", { name: "Remove" }).click();
    await page.getByRole("alertdialog").getByRole("button", { name: "Remove the webhook" }).click();
    await row.waitFor({ state: "detached" });
    // And once more, to stay: the inspector shows what it gets.
    const again = await server.api("POST", `/project/${server.projectId}/webhooks`, {
      url: server.inspectorUrl,
      events: ["session.ended", "session.finalized"],
    });
    expect(again.status).toBe(201);
  });

  test("watches attempts come live while the simulator plays", async () => {
    const { page } = visitor;
    await visitor.visit("/logs");
    await page.getByText("New attempts appear here as they are made.").waitFor();
    const before = await page.getByRole("row").count();
    const { code, output } = await runSendoff(["simulate", "--speed", "20000", "--rate", "100"], {
      SENDOFF_DATA: server.dataFolder,
    });
    expect(code, output).toBe(0);
    await page.getByText(/\d+ came while you watch\./).waitFor();
    expect(await page.getByRole("row").count()).toBeGreaterThan(before);
    await visitor.pictures("live-tail");
  });

  test("opens a call and sees its lanes in order", async () => {
    const { page } = visitor;
    await playCall(server, "call.seen-1");
    await visitor.visit("/sessions?text=call.seen-1");
    await page.getByRole("link", { name: "call.seen-1" }).click();
    const lanes = page.getByRole("region", { name: /^Lanes/ });
    await lanes
      .getByRole("button", { name: /^session.finalized, attempt 1 .*delivered 200/ })
      .first()
      .waitFor();
    const left = async (name: RegExp): Promise<number> =>
      (
        await lanes
          .getByRole("region", { name: "Agent's webhook" })
          .getByRole("button", { name })
          .boundingBox()
      )?.x ?? 0;
    expect(await left(/^session.ended, attempt 1/)).toBeLessThan(await left(/^session.finalized, attempt 1/));
    // Nobody subscribed to it, and the page says so.
    await lanes.getByText("Went nowhere: not subscribed").waitFor();
    await visitor.pictures("session");
    await page.reload();
    await page.getByRole("heading", { name: "call.seen-1" }).waitFor();
  });

  test("looks at an attempt, copies it as curl, resends it and sees the new attempt", async () => {
    const { page } = visitor;
    const lanes = page.getByRole("region", { name: "Agent's webhook" });
    await lanes.getByRole("button", { name: /^session.finalized, attempt 1/ }).click();
    const sheet = page.getByRole("dialog");
    await sheet.getByRole("region", { name: "Request", exact: true }).getByText('"callStatus"').waitFor();
    await sheet.getByRole("region", { name: "Response", exact: true }).getByText('"stored"').waitFor();
    await visitor.pictures("attempt");
    await sheet.getByRole("button", { name: "Copy as curl" }).click();
    const copied = (await page.evaluate("navigator.clipboard.readText()")) as string;
    expect(copied).toContain(`curl -sS -X POST '${sink.url}'`);
    expect(copied).toContain('"event":"session.finalized"');
    await sheet.getByRole("button", { name: "Resend" }).click();
    await sheet.getByText("It is sent again as attempt 2").waitFor();
    await page.keyboard.press("Escape");
    await lanes
      .getByRole("button", { name: /^session.finalized, attempt 2 \(resend\): delivered 200/ })
      .waitFor();
  });

  test("resends all of a filter, with a bar that counts them", async () => {
    const { page } = visitor;
    await visitor.visit("/logs?sessionId=call.seen-1&event=session.ended,session.finalized");
    await page.getByRole("button", { name: "Resend all" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("Session: call.seen-1").waitFor();
    await dialog.getByRole("button", { name: "Resend all" }).click();
    // Two events at two endpoints.
    await dialog.getByText("4 of 4: 4 resent, 0 left out, 0 failed.").waitFor();
    await dialog.getByRole("button", { name: "Close" }).click();
  });

  test("sees in the inspector what arrived, whose signature is valid, and copies a receiver", async () => {
    const { page } = visitor;
    await visitor.visit("/inspector");
    await page.getByText("Signature valid").first().waitFor();
    await page.getByRole("button", { name: "Hono" }).click();
    await page.getByText('import { Hono } from "hono";').waitFor();
    await visitor.pictures("inspector");
  });

  test("sees why an event went nowhere", async () => {
    const { page } = visitor;
    await visitor.visit("/logs?view=unsent");
    await page
      .getByRole("cell", { name: /^No webhook subscribed to this event/ })
      .first()
      .waitFor();
  });

  test("filters in the address, and takes the list along as CSV", async () => {
    const { page } = visitor;
    await visitor.visit("/sessions");
    await page.getByRole("combobox", { name: "Channel: Any channel" }).click();
    await page.getByRole("option", { name: "Text" }).click();
    await page.waitForURL(/channel=text/);
    await page.reload();
    await page.getByRole("combobox", { name: "Channel: Text" }).waitFor();
    const download = page.waitForEvent("download");
    await page.getByRole("link", { name: "Export CSV" }).click();
    expect((await download).url()).toContain("sessions.csv?channel=text");
  });

  test("erases a session after typing its id", async () => {
    const { page } = visitor;
    await visitor.visit("/sessions/call.seen-1");
    await page.getByRole("button", { name: "Erase" }).click();
    const dialog = page.getByRole("alertdialog");
    const erase = dialog.getByRole("button", { name: "Erase the data" });
    expect(await erase.isDisabled()).toBe(true);
    await dialog.getByRole("textbox").fill("call.seen-1");
    await erase.click();
    await page.getByText("This session's data was erased").waitFor();
    expect(await page.getByText("Nancy").count()).toBe(0);
  });

  test("makes a project, whose key is shown once, and signs out for good", async () => {
    const { page, context } = visitor;
    await visitor.visit("/");
    await page.getByLabel("Project", { exact: true }).selectOption({ label: "New project ..." });
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("Clinic");
    await dialog.getByRole("button", { name: "Make the project" }).click();
    expect(await dialog.locator("[data-secret]").textContent()).toMatch(/^sk_/);
    await dialog.getByRole("button", { name: "Go to the project" }).click();
    await page.getByText("Nothing happened in this time").waitFor();
    await page.getByRole("button", { name: "Account and appearance" }).click();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in to Sendoff" }).waitFor();
    expect((await context.cookies()).filter(({ name }) => name.includes("sendoff"))).toEqual([]);
    await page.goto(`/dashboard/p/${server.projectId}/sessions`);
    await page.getByRole("heading", { name: "Sign in to Sendoff" }).waitFor();
  });

  test("has met no error, no breach of the policy and no other host on the way", () => {
    expect(visitor.misdeeds).toEqual({ violations: [], executed: [], strayed: [], errors: [] });
  });
});
