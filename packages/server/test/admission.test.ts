// Which requests are refused by their first line while there is no time, and that all others go on to the routes.
import type { IncomingMessage } from "node:http";
import { expect, test } from "vitest";
import { createAdmission } from "../src/http/admission.ts";
import { type Route, route } from "../src/http/route.ts";
import { Refusal } from "../src/refusal.ts";

const refusal = new Refusal("overloaded", "No time; send it again.");
let busy = true;
const of = (method: Route["method"], path: string, admit?: (projectId: string) => Refusal | null): Route =>
  route({
    method,
    path,
    access: "project",
    summary: "",
    ...(admit === undefined ? {} : { admit }),
    handle: () => ({ status: 200, data: {} }),
  });
const admit = (projectId: string): Refusal | null => (busy && projectId !== "calm" ? refusal : null);
const admission = createAdmission([
  of("GET", "/v1/projects/{projectId}/reports"),
  of("POST", "/v1/projects/{projectId}/reports", admit),
  of("PUT", "/v1/projects/{projectId}/sessions/{sessionId}/a.b", admit),
]);
const asked = (method: string, url: string): Refusal | null => admission({ method, url } as IncomingMessage);

test("a request of a route that has a word in it is refused, whatever its parts and its query are", () => {
  for (const url of [
    "/v1/projects/p/reports",
    "/v1/projects/%F0%9F%98%80/reports?x=1",
    "/v1/projects/../reports",
  ]) {
    expect(asked("POST", url), url).toBe(refusal);
  }
  expect(asked("PUT", "/v1/projects/p/sessions/s:1.2_3/a.b")).toBe(refusal);
});

test("another method, a path that is longer, shorter or like it, and a route without a word go on", () => {
  expect(asked("GET", "/v1/projects/p/reports")).toBeNull();
  expect(asked("DELETE", "/v1/projects/p/reports")).toBeNull();
  for (const url of [
    "/v1/projects/p/reports/x",
    "/v1/projects//reports",
    "/x/v1/projects/p/reports",
    "*",
    "",
  ]) {
    expect(asked("POST", url), url).toBeNull();
  }
  expect(asked("PUT", "/v1/projects/p/sessions/s/aXb")).toBeNull();
});

test("the project in the path is asked about, and no other", () => {
  expect(asked("POST", "/v1/projects/calm/reports")).toBeNull();
  expect(asked("PUT", "/v1/projects/calm/sessions/s/a.b")).toBeNull();
});

test("while there is time nothing is refused", () => {
  busy = false;
  expect(asked("POST", "/v1/projects/p/reports")).toBeNull();
  busy = true;
});
