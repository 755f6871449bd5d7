// Headers that every answer has, whatever it is: no browser takes it for what it is not, and nobody keeps what is a tenant's.
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { sendRaw } from "./refused.ts";

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

/** Answers without anything of a tenant, which may be kept and are asked for again each time. */
const describing = /^\/(openapi\.json|asyncapi\.json|schemas\/|docs)/;

function expectGuarded(what: string, status: number, headers: Headers, mayBeKept = false): void {
  expect(headers.get("x-content-type-options"), what).toBe("nosniff");
  const cached = headers.get("cache-control") ?? "none";
  if (mayBeKept && status < 400) expect(cached, what).toMatch(/^(public, no-cache|no-cache|no-store)$/);
  else expect(cached, what).toMatch(/(^|, )no-store$/);
}

test("every route has them, with a key, without one and with a wrong one", async () => {
  const document = (await (await fetch(`${server.apiUrl}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, unknown>>;
  };
  let asked = 0;
  for (const [template, methods] of Object.entries(document.paths)) {
    const path = template.replace("{projectId}", server.projectId).replace(/\{\w+\}/g, "none");
    for (const method of Object.keys(methods)) {
      for (const key of [server.projectKey, "", "sk_wrong"]) {
        const gone = new AbortController();
        const headers = {
          "content-type": "application/json",
          ...(key === "" ? {} : { authorization: `Bearer ${key}` }),
        };
        const body = method === "get" ? {} : { body: "{}" };
        const answer = await fetch(server.apiUrl + path, {
          method: method.toUpperCase(),
          headers,
          redirect: "manual",
          signal: gone.signal,
          ...body,
        });
        expectGuarded(
          `${method} ${path} ${answer.status}`,
          answer.status,
          answer.headers,
          !path.startsWith("/v1/"),
        );
        if (!describing.test(path) && !path.startsWith("/dashboard/")) {
          expect(answer.headers.get("cache-control"), path).toMatch(/no-store$/);
        }
        gone.abort();
        asked++;
      }
    }
  }
  expect(asked).toBeGreaterThan(100);
});

test("so have streams, files, a path that leads nowhere, a method that is not for it, and what is refused by its first line", async () => {
  const authorization = `Bearer ${server.projectKey}`;
  const project = `/v1/projects/${server.projectId}`;
  const gone = new AbortController();
  for (const path of ["/events", "/webhook-logs"]) {
    const answer = await fetch(server.apiUrl + project + path, {
      headers: { authorization, accept: "text/event-stream" },
      signal: gone.signal,
    });
    expect(answer.headers.get("content-type")).toContain("text/event-stream");
    expectGuarded(path, answer.status, answer.headers);
  }
  gone.abort();
  for (const path of ["/metrics", `${project}/sessions.csv`, "/nowhere", "/", "/dashboard/none.js"]) {
    const answer = await fetch(server.apiUrl + path, { headers: { authorization }, redirect: "manual" });
    expectGuarded(path, answer.status, answer.headers);
  }
  for (const request of [
    "TRACE /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    "CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
    "GET /healthz HTTP/1.1\r\nhost: x y\r\nconnection: close\r\n\r\n",
    "HEAD /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
  ]) {
    const answer = await sendRaw(server.apiUrl, request);
    expectGuarded(request, answer.status, answer.headers);
  }
});

test("of an error, at most 20 details and 4,000 characters come back, whatever was sent", async () => {
  const names = Array.from({ length: 60 }, (_, n) => `"${n}${"x".repeat(1_000)}":1`);
  const answer = await server.api("POST", "/v1/projects", `{${names.slice(0, 14).join(",")}}`);
  expect(answer.status).toBe(403);
  const wrong = await server.api(
    "PATCH",
    `/v1/projects/${server.projectId}/sessions/a`,
    `{${names.join(",")}}`,
  );
  expect(wrong.status).toBe(422);
  expect(wrong.body.error.details.length).toBe(20);
  expect(wrong.body.error.message.length).toBeLessThan(4_100);
  for (const { path, message } of wrong.body.error.details)
    expect(path.length + message.length).toBeLessThan(900);
});

test("bodies have the bound of their route, and one in too many pieces is refused", async () => {
  const project = `/v1/projects/${server.projectId}`;
  const large = (bytes: number): string => `{"a":"${"x".repeat(bytes)}"}`;
  const sizes: Array<[method: string, path: string, bytes: number]> = [
    ["POST", `${project}/sessions/a/call-ended`, 16 * 1024],
    ["POST", `${project}/sessions/a/recording-processed`, 16 * 1024],
    ["PATCH", `${project}/agent`, 256 * 1024],
    ["POST", `/project/${server.projectId}/webhooks`, 256 * 1024],
    ["POST", `${project}/sessions`, 1024 * 1024],
    ["POST", `${project}/reports`, 1024 * 1024],
  ];
  for (const [method, path, bytes] of sizes) {
    expect((await server.api(method, path, large(bytes - 8))).status, path).toBe(422);
    const refused = await server.api(method, path, large(bytes));
    expect(refused.status, path).toBe(413);
    expect(refused.body.error.message).toContain(`more than ${bytes} bytes`);
  }
  const head =
    `POST ${project}/sessions/a/conversation-ended HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${server.projectKey}\r\n` +
    "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
  const answer = await sendRaw(server.apiUrl, head, "1\r\n \r\n".repeat(20_000));
  expect(answer.status).toBe(413);
  expect(answer.body.error.message).toContain("16384 pieces");
});
