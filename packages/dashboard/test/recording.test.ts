import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";
import { launchChromium, openVisitor } from "./browser.ts";
import { playCall } from "./sample.ts";
import { callAudio } from "./tone.ts";

const seconds = 4;

let browser: Browser;
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
  await playCall(server, "call-heard", { recordingError: null });
  const put = await fetch(`${server.apiUrl}/v1/projects/${server.projectId}/sessions/call-heard/recording`, {
    method: "PUT",
    headers: { authorization: `Bearer ${server.projectKey}`, "content-type": "audio/wav" },
    body: new Uint8Array(callAudio(seconds)),
  });
  expect(put.status, await put.text()).toBe(200);
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

test("a call's audio plays past its middle, is sought by keyboard, shows its waveform and can be downloaded", async () => {
  const { page, visit, pictures, misdeeds } = await openVisitor(browser, server);
  await visit("/sessions/call-heard");
  const position = page.getByRole("slider", { name: "Position in the recording" });
  await expect.poll(() => position.getAttribute("aria-valuetext")).toBe(`0:00 of 0:0${seconds}`);
  // Something is drawn: not every point of the canvas has the same color.
  const colors = `(() => {
    const canvas = document.querySelector("canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size;
  })()`;
  await until("the waveform is drawn", async () => Number(await page.evaluate(colors)) > 1);
  await page.getByRole("button", { name: "Play" }).click();
  await until("it has played past its middle", async () => Number(await position.inputValue()) > seconds / 2);
  await page.getByRole("button", { name: "Pause" }).click();
  await pictures("recording");
  await position.focus();
  await page.keyboard.press("Home");
  expect(Number(await position.inputValue())).toBe(0);
  await page.keyboard.press("End");
  await until("it stands at its end", async () => Number(await position.inputValue()) > seconds - 0.2);
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "Download" }).click();
  await (await download).cancel();
  expect(misdeeds).toEqual({ violations: [], executed: [], strayed: [], errors: [] });
});
