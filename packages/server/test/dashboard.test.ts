// Signing in to the dashboard, what its cookie may do, and its files. The requests are those of a browser, which says in its
// headers where they come from.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { DashboardSession } from "@sendoff/contract";
import { Hono } from "hono";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { responseOf } from "../src/http/answer.ts";
import type { Route } from "../src/http/route.ts";
import { dashboardFileRoutes } from "../src/http/routes/dashboard-files.ts";
import { Refusal } from "../src/refusal.ts";
import { createSignInLink } from "../src/tenancy/sign-in.ts";
import { expectRefused } from "./refused.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ SENDOFF_WRONG_KEY_LIMIT: "40" });
});
afterAll(() => server.stop());

const own = { "sendoff-dashboard": "1", "sec-fetch-site": "same-origin" };
const path = "/dashboard/session";

async function send(method: string, at: string, headers: Record<string, string>, body?: unknown) {
  const response = await fetch(server.apiUrl + at, {
    method,
    redirect: "manual",
    headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const json = response.headers.get("content-type")?.includes("json") ?? false;
  return { status: response.status, headers: response.headers, text, body: json ? JSON.parse(text) : null };
}

const signIn = (body: object, headers: Record<string, string> = {}) =>
  send("POST", path, { ...own, ...headers }, body);
/** The cookie as the browser sends it back. */
const cookieOf = (answer: { headers: Headers }): { cookie: string } => ({
  cookie: answer.headers.getSetCookie()[0]?.split(";")[0] ?? "",
});
async function signedIn(key = server.developerKey): Promise<{ cookie: string }> {
  return cookieOf(await signIn({ key }));
}

describe("signing in", () => {
  test("by the link that the start prints: once, as a developer, with a cookie that no script and no other site gets", async () => {
    const url = new URL(server.signInUrl ?? "");
    expect(url.pathname + url.search).toBe("/dashboard/sign-in");
    expect(server.dashboardUrl).toBe(`${server.apiUrl}/dashboard/`);
    const token = new URLSearchParams(url.hash.slice(1)).get("token") ?? "";
    const answer = await signIn({ token });
    expect(answer.status, answer.text).toBe(201);
    const session = DashboardSession.parse(answer.body.data);
    expect(session).toMatchObject({ kind: "developer", projectId: null });
    expect(session.projects.map(({ id }) => id)).toContain(server.projectId);
    const days = (Date.parse(session.expiresAt ?? "") - Date.now()) / 86_400_000;
    expect(days).toBeGreaterThan(6.9);
    expect(days).toBeLessThan(7.1);
    const [cookie = ""] = answer.headers.getSetCookie();
    expect(cookie).toMatch(
      /^__Host-sendoff_session_\d+=[\w-]{43}; Max-Age=604800; Secure; Path=\/; HttpOnly; SameSite=Strict$/,
    );
    expect(answer.headers.get("cache-control")).toBe("no-store");
    // Neither the link nor the session can be read from the database.
    const { rows } = await server.pool.query(
      "SELECT encode(token_hash, 'escape') AS h FROM dashboard_sessions",
    );
    expect(JSON.stringify(rows)).not.toContain(cookieOf(answer).cookie.split("=")[1]);
    expectRefused(await signIn({ token }), "sign_in_link_invalid");
    const who = await send("GET", path, cookieOf(answer));
    expect(who.body.data).toMatchObject({ kind: "developer", expiresAt: session.expiresAt });
  });

  test("by two requests with one link at once signs in one", async () => {
    const token = await createSignInLink(server.pool);
    const answers = await Promise.all(Array.from({ length: 5 }, () => signIn({ token })));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 401, 401, 401, 401]);
  });

  test("by a link of more than an hour ago is refused", async () => {
    const token = await createSignInLink(server.pool);
    await server.pool.query("UPDATE sign_in_links SET expires_at = expires_at - interval '1 hour'");
    expectRefused(await signIn({ token }), "sign_in_link_invalid");
  });

  test("each start has a link of its own", async () => {
    const beside = await startTestServer({}, server);
    expect(new URL(beside.signInUrl ?? "").hash).not.toBe(new URL(server.signInUrl ?? "").hash);
    await beside.stop();
  });

  test("by a project's key sees that project alone", async () => {
    const { body } = await server.api("POST", "/v1/projects", { name: "Other" }, server.developerKey);
    const cookie = await signedIn(body.data.key);
    const who = await send("GET", path, cookie);
    expect(who.body.data).toMatchObject({ kind: "project", projectId: body.data.id });
    expect(who.body.data.projects).toHaveLength(1);
    expect((await send("GET", `/v1/projects/${body.data.id}/agent`, cookie)).status).toBe(200);
    expectRefused(await send("GET", `/v1/projects/${server.projectId}/agent`, cookie), "project_not_found");
    expectRefused(
      await send("POST", "/v1/projects", { ...own, ...cookie }, { name: "x" }),
      "developer_key_needed",
    );
  });

  test("over https and over http on another name the cookie is the one that the browser takes", async () => {
    const over = async (origin: string): Promise<string> => {
      const headers = { ...own, origin };
      return (await signIn({ key: server.developerKey }, headers)).headers.getSetCookie()[0] ?? "";
    };
    expect(await over("https://sendoff.example.com")).toMatch(/^__Host-.*; Secure;/);
    expect(await over("http://sendoff.lan")).toMatch(
      /^sendoff_session_\d+=[\w-]{43}; Max-Age=604800; Path=\/; HttpOnly; SameSite=Strict$/,
    );
  });

  test("again gives another token, and the one before is worth nothing", async () => {
    const first = await signedIn();
    const second = cookieOf(await signIn({ key: server.developerKey }, first));
    expect(second.cookie).not.toBe(first.cookie);
    expectRefused(await send("GET", path, first), "not_signed_in");
    expect((await send("GET", path, second)).status).toBe(200);
  });

  test("a key that is revoked ends its sessions", async () => {
    const { body } = await server.api("POST", "/v1/projects", { name: "Gone" }, server.developerKey);
    const cookie = await signedIn(body.data.key);
    await server.pool.query("UPDATE api_keys SET revoked_at = now() WHERE project_id = $1", [body.data.id]);
    expectRefused(await send("GET", path, cookie), "not_signed_in");
  });

  test("a session that is over is refused, and one that is signed out too, at once", async () => {
    const old = await signedIn();
    await server.pool.query("UPDATE dashboard_sessions SET expires_at = now()");
    expectRefused(await send("GET", path, old), "not_signed_in");
    const cookie = await signedIn();
    expect((await send("GET", "/v1/projects", cookie)).status).toBe(200);
    const out = await send("DELETE", path, { ...own, ...cookie });
    expect([out.status, out.text]).toEqual([204, ""]);
    expect(out.headers.getSetCookie()[0]).toMatch(/=; Max-Age=0/);
    expectRefused(await send("GET", "/v1/projects", cookie), "not_signed_in");
    expect((await send("DELETE", path, { ...own, ...cookie })).status).toBe(204);
  });

  test("a key in the header counts before a cookie", async () => {
    const cookie = await signedIn();
    const authorization = `Bearer ${server.projectKey}`;
    const who = await send("GET", path, { ...cookie, authorization });
    expect(who.body.data).toMatchObject({ kind: "project", expiresAt: null });
    const wrong = `Bearer sk_${"a".repeat(43)}`;
    expectRefused(await send("GET", path, { ...cookie, authorization: wrong }), "wrong_key");
  });
});

describe("M9: what another site makes a browser send", () => {
  const create = (headers: Record<string, string>, body: unknown = { name: "By another site" }) =>
    send("POST", "/v1/projects", headers, body);

  test.each<[what: string, headers: Record<string, string>]>([
    ["a request without the dashboard's header", { "sec-fetch-site": "same-origin" }],
    ["a request of another site", { ...own, "sec-fetch-site": "cross-site" }],
    ["a request of another port or subdomain", { ...own, "sec-fetch-site": "same-site" }],
    ["a request that somebody typed", { ...own, "sec-fetch-site": "none" }],
    [
      "an Origin of another site, from an older browser",
      { "sendoff-dashboard": "1", origin: "https://evil.example" },
    ],
    ["an Origin of another port", { "sendoff-dashboard": "1", origin: "http://127.0.0.1:1" }],
    ["a sandboxed page", { "sendoff-dashboard": "1", origin: "null" }],
  ])("%s is refused with the cookie, and nothing is done", async (_what, headers) => {
    const cookie = await signedIn();
    expectRefused(await create({ ...cookie, ...headers }), "cross_site_request");
    expectRefused(await send("DELETE", path, { ...cookie, ...headers }), "cross_site_request");
    expectRefused(await send("POST", path, headers, { key: server.developerKey }), "cross_site_request");
    expect((await send("GET", path, cookie)).status).toBe(200);
    const { rowCount } = await server.pool.query("SELECT FROM projects WHERE name = 'By another site'");
    expect(rowCount).toBe(0);
  });

  test("a form and JSON as text are refused, also with every header", async () => {
    const cookie = await signedIn();
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
    ]) {
      expectRefused(await create({ ...own, ...cookie, "content-type": type }), "media_type_not_json");
    }
  });

  test("a GET of another site with the cookie reads nothing; one of the page and one that was typed do", async () => {
    const cookie = await signedIn();
    for (const site of ["cross-site", "same-site"]) {
      expectRefused(
        await send("GET", "/v1/projects", { ...cookie, "sec-fetch-site": site }),
        "cross_site_request",
      );
    }
    for (const site of ["same-origin", "none"]) {
      expect((await send("GET", "/v1/projects", { ...cookie, "sec-fetch-site": site })).status).toBe(200);
    }
  });

  test("the page's own requests do it", async () => {
    const cookie = await signedIn();
    expect((await create({ ...own, ...cookie }, { name: "Own" })).status).toBe(201);
    const origin = server.apiUrl;
    const older = { "sendoff-dashboard": "1", origin };
    expect((await create({ ...older, ...cookie }, { name: "Older" })).status).toBe(201);
  });
});

describe("M7: guessing", () => {
  test("wrong links, keys and cookies are counted together; who is signed in or has a right key is not locked out", async () => {
    const limited = await startTestServer({ SENDOFF_WRONG_KEY_LIMIT: "5" });
    const ask = (body: object) =>
      fetch(limited.apiUrl + path, {
        method: "POST",
        headers: { ...own, "content-type": "application/json" },
        body: JSON.stringify(body),
      });
    const good = await ask({ key: limited.developerKey });
    const cookie = good.headers.getSetCookie()[0]?.split(";")[0] ?? "";
    expect((await fetch(limited.apiUrl + path, { headers: { cookie } })).status).toBe(200);
    const statuses = [];
    for (let n = 0; n < 7; n++) statuses.push((await ask({ token: `${n}` })).status);
    expect(statuses).toEqual([401, 401, 401, 401, 401, 429, 429]);
    expect((await ask({ key: limited.developerKey })).status).toBe(201);
    expect((await ask({ token: "8" })).status).toBe(429);
    expect((await fetch(limited.apiUrl + path, { headers: { cookie } })).status).toBe(200);
    await limited.stop();
  });

  test.each<[what: string, body: unknown, code: "invalid_body" | "body_too_large" | "sign_in_link_invalid"]>([
    ["neither", {}, "invalid_body"],
    ["both", { key: "dk_a", token: "a" }, "invalid_body"],
    ["a key that is a number", { key: 1 }, "invalid_body"],
    ["a password of 1 MB", { key: "x".repeat(1024 * 1024 + 1) }, "body_too_large"],
    ["a long one", { key: "x".repeat(201) }, "invalid_body"],
    ["NUL in a token", { token: "a\0b" }, "sign_in_link_invalid"],
  ])("%s is refused", async (_what, body, code) => {
    expectRefused(await signIn(body as object), code);
  });
});

describe("the dashboard's files", () => {
  let folder: string;
  let app: Hono;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "sendoff-test-dashboard-"));
    app = appOf(dashboardFileRoutes(join(folder, "dist"), ["https://audio.example.com"]));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const get = (at: string, headers: Record<string, string> = {}) => app.request(at, { headers });
  const script = `console.log("${"dashboard ".repeat(100)}")`;

  test("before they are built: a sentence that says what to do", async () => {
    const answer = await get("/dashboard/");
    expect(answer.status).toBe(404);
    expect(await answer.text()).toMatch(/^dashboard_not_built: .*npm run build/);
  });

  test("the page comes at each of its views, asked for anew, under a policy without unsafe-inline", async () => {
    await mkdir(join(folder, "dist/assets"), { recursive: true });
    await writeFile(join(folder, "secret.txt"), "outside");
    await writeFile(join(folder, "dist/assets/index-a1b2c3.js"), script);
    await writeFile(join(folder, "dist/assets/index-a1b2c3.js.map"), "{}");
    await writeFile(join(folder, "dist/index.html"), "<!doctype html><title>Sendoff</title>");
    for (const at of ["/dashboard/", "/dashboard/sign-in", "/dashboard/projects/a/sessions/call-1:x"]) {
      const answer = await get(at);
      expect([answer.status, await answer.text()], at).toEqual([
        200,
        "<!doctype html><title>Sendoff</title>",
      ]);
      expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8");
      expect(answer.headers.get("cache-control")).toBe("no-cache");
      const policy = answer.headers.get("content-security-policy") ?? "";
      for (const part of [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "frame-ancestors 'none'",
      ]) {
        expect(policy.split("; ")).toContain(part);
      }
      expect(policy).toContain("media-src 'self' blob: https://audio.example.com;");
      expect(policy).toMatch(/base-uri 'none'; form-action 'none'$/);
      expect(policy).not.toContain("unsafe");
      expect(answer.headers.get("referrer-policy")).toBe("no-referrer");
      expect(answer.headers.get("cross-origin-opener-policy")).toBe("same-origin");
      expect(answer.headers.get("permissions-policy")).toContain("microphone=()");
    }
  });

  test("a file named by its content is kept for a year and comes compressed; 304 for one who has it", async () => {
    const plain = await get("/dashboard/assets/index-a1b2c3.js");
    expect(await plain.text()).toBe(script);
    expect(plain.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    const zipped = await get("/dashboard/assets/index-a1b2c3.js", { "accept-encoding": "br, gzip" });
    expect(zipped.headers.get("content-encoding")).toBe("gzip");
    expect(zipped.headers.get("vary")).toBe("accept-encoding");
    const bytes = Buffer.from(await zipped.arrayBuffer());
    expect(bytes.length).toBeLessThan(script.length / 4);
    expect(gunzipSync(bytes).toString()).toBe(script);
    const etag = plain.headers.get("etag") ?? "";
    expect(etag).not.toBe(zipped.headers.get("etag"));
    expect((await get("/dashboard/assets/index-a1b2c3.js", { "if-none-match": etag })).status).toBe(304);
  });

  test.each([
    "/dashboard/assets/none.js",
    "/dashboard/assets/",
    "/dashboard/assets/index-a1b2c3.js.map",
    "/dashboard/..%2fsecret.txt",
    "/dashboard/%2e%2e/secret.txt",
    "/dashboard/assets/..%5c..%5csecret.txt",
    "/dashboard/assets%2f..%2f..%2fsecret.txt",
    "/dashboard//etc/passwd.txt",
    "/dashboard/index.html%00.txt",
  ])("%s is not a file of it", async (at) => {
    const answer = await get(at);
    const text = await answer.text();
    expect(text).not.toContain("outside");
    expect([answer.status, text.split(":")[0]]).toEqual([404, "route_not_found"]);
  });

  test("a new build is served without a new start", async () => {
    await writeFile(join(folder, "dist/index.html"), "<!doctype html><title>Next</title>");
    expect(await (await get("/dashboard/")).text()).toContain("Next");
  });

  test("M13: / and /dashboard lead to the page of this server, whatever stands behind", async () => {
    for (const at of ["/", "/dashboard", "/?next=//evil.example", "/dashboard?next=https://evil.example"]) {
      const answer = await send("GET", at, {});
      expect([answer.status, answer.headers.get("location")], at).toEqual([302, "/dashboard/"]);
    }
  });
});

/** These routes alone, as the server's router has them. */
function appOf(routes: readonly Route[]): Hono {
  const app = new Hono();
  for (const { path: at, handle } of routes) {
    const pattern = at.replace("{file+}", ":file{.+}");
    app.get(pattern, async (context) => {
      const answer = await handle({ context, caller: null, path: context.req.param() } as never);
      // Files are held by the process: nothing of them is taken for an answer.
      return responseOf(answer, null as never, () => () => {});
    });
  }
  app.notFound((context) => context.text("route_not_found: nothing", 404));
  app.onError((error, context) =>
    error instanceof Refusal
      ? context.text(`${error.code}: ${error.message}`, 404)
      : context.text("failed", 500),
  );
  return app;
}
