// What a client may take: requests by key, wrong keys by address, time and connections.
import type { IncomingMessage, Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import type { ErrorBody } from "@sendoff/contract";
import pg from "pg";
import { afterEach, describe, expect, test, vi } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";
import { ConfigError, readConfig } from "../src/config.ts";
import { readJsonBytes } from "../src/http/body.ts";
import { closeHttp, listenHttp } from "../src/http/listen.ts";
import { createRequestLimits } from "../src/http/request-limits.ts";
import { createMetrics } from "../src/metrics.ts";
import { Refusal } from "../src/refusal.ts";
import { expectRefused } from "./refused.ts";

let server: TestServer | undefined;
let http: Server | undefined;
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await server?.stop();
  server = undefined;
  if (http !== undefined) await closeHttp(http);
  http = undefined;
  vi.restoreAllMocks();
});

const metric = async (name: string): Promise<number> => {
  const text = await (await fetch(`${server?.apiUrl}/metrics`)).text();
  return Number(
    text
      .split("\n")
      .find((line) => line.startsWith(`${name} `))
      ?.split(" ")[1] ?? 0,
  );
};
const wrongKey = (letter: string): string => `sk_${letter.repeat(43)}`;

describe("requests of a key", () => {
  test("each report of a request with many counts, and one with more than the limit can still be sent", async () => {
    server = await startTestServer({ SENDOFF_RATE_LIMIT: "20:0" });
    const { api, projectId } = server;
    const send = (count: number) =>
      api(
        "POST",
        `/v1/projects/${projectId}/reports`,
        Array.from({ length: count }, (_, index) => ({
          type: "call-ended",
          sessionId: `s-${index}`,
          callStatus: "userHangup",
          callDuration: 1,
        })),
      );
    await until("a request with 50 reports is taken", async () => (await send(50)).status === 200);
    await until("one more is refused within the second", async () => (await send(15)).status === 429);
    expectRefused(await send(15), "rate_limited", "requests or reports");
  });

  test("beyond the limit get 429 with Retry-After, and other keys and open routes are not touched", async () => {
    server = await startTestServer({ SENDOFF_RATE_LIMIT: "5:5" });
    const { api, developerKey } = server;
    const begun = performance.now();
    const answers = await Promise.all(Array.from({ length: 40 }, () => api("GET", "/v1/projects")));
    const seconds = Math.ceil((performance.now() - begun) / 1_000);
    const limited = answers.filter(({ status }) => status === 429);
    expect(answers.filter(({ status }) => status === 200).length).toBe(answers.length - limited.length);
    // 10 at once, and 5 more for each second that began meanwhile.
    expect(limited.length).toBeLessThanOrEqual(30);
    expect(limited.length).toBeGreaterThanOrEqual(30 - 5 * seconds);
    expect(limited.length).toBeGreaterThan(0);
    for (const answer of limited) {
      expectRefused(answer, "rate_limited", "more than 5 requests or reports in a second", "try again in");
      const wait = Number(answer.headers.get("retry-after"));
      expect(wait).toBeGreaterThanOrEqual(1);
      expect(wait).toBeLessThanOrEqual(10);
    }
    expect((await api("GET", "/v1/projects", undefined, developerKey)).status).toBe(200);
    for (const path of ["/healthz", "/readyz", "/metrics"]) {
      for (let n = 0; n < 15; n++) expect((await fetch(server.apiUrl + path)).status, path).toBe(200);
    }
    expect(await metric('sendoff_requests_limited_total{limit="key"}')).toBe(limited.length);
    await until("the next second has come", async () => (await api("GET", "/v1/projects")).status === 200);
  });

  test("a request that is limited is neither read nor written", async () => {
    server = await startTestServer({ SENDOFF_RATE_LIMIT: "1:0" });
    const body = { channel: "text", currentNodeId: "a", messagesCount: 1, extractedVariables: {} };
    const report = (n: number) =>
      server?.api("POST", `/v1/projects/${server.projectId}/sessions/r-${n}/conversation-ended`, body);
    const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => report(n)));
    const taken = answers.filter((answer) => answer?.status === 200).length;
    expect(taken).toBeLessThan(10);
    expect((await server.pool.query("SELECT FROM sessions")).rowCount).toBe(taken);
  });

  test("the standard limit lets 60,000 requests at once through, which no local run sends", async () => {
    const { rateLimits } = readConfig({});
    const limits = createRequestLimits(rateLimits, createMetrics());
    for (let n = 0; n < rateLimits.perSecond + rateLimits.burst; n++) await limits.takeRequest("one");
    expect(rateLimits.perSecond + rateLimits.burst).toBe(60_000);
  });
});

describe("P23: wrong keys from an address", () => {
  const get = (key: string, forwarded?: string): Promise<Response> =>
    fetch(`${server?.apiUrl}/v1/projects`, {
      headers: {
        authorization: `Bearer ${key}`,
        ...(forwarded === undefined ? {} : { "x-forwarded-for": forwarded }),
      },
    });

  test("beyond the limit get 429; a right key is let in, also one that was never seen", async () => {
    server = await startTestServer({ SENDOFF_WRONG_KEY_LIMIT: "5" });
    expect((await get(server.projectKey)).status).toBe(200);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => get(wrongKey("abcdefghijklmnopqrst"[n] ?? ""))),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([
      ...Array(5).fill(401),
      ...Array(15).fill(429),
    ]);
    const limited = answers.find(({ status }) => status === 429) as Response;
    const seconds = Number(limited.headers.get("retry-after"));
    expect(seconds).toBeGreaterThan(1);
    expect(seconds).toBeLessThanOrEqual(60);
    expect(((await limited.json()) as ErrorBody).error).toMatchObject({
      code: "rate_limited",
      message: expect.stringMatching(/^More than 5 requests with a wrong key .* try again in \d+ s\.$/),
    });
    expect((await get(server.projectKey)).status).toBe(200);
    expect((await get(server.developerKey)).status).toBe(200);
    expect(await metric('sendoff_requests_limited_total{limit="address"}')).toBe(15);
  });

  test("right keys use none of it up, however many they are", async () => {
    server = await startTestServer({ SENDOFF_WRONG_KEY_LIMIT: "2" });
    for (let n = 0; n < 4; n++) {
      const made = await server.api("POST", "/v1/projects", { name: `P${n}` }, server.developerKey);
      expect((await get(made.body.data.key)).status).toBe(200);
    }
  });

  test("many requests at once with a key that this process has not seen yet are let in", async () => {
    const own = await startTestServer({ SENDOFF_WRONG_KEY_LIMIT: "2" });
    server = own;
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => own.api("GET", "/v1/projects", undefined, own.projectKey)),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  });

  test("a look-up that fails is no try: nobody could say whether the key was right", async () => {
    const own = await startTestServer({ SENDOFF_WRONG_KEY_LIMIT: "2" });
    server = own;
    await own.pool.query("ALTER TABLE api_keys RENAME TO api_keys_away");
    for (let round = 0; round < 4; round++) {
      expect((await own.api("GET", "/v1/projects", undefined, own.projectKey)).status).toBe(500);
    }
    await own.pool.query("ALTER TABLE api_keys_away RENAME TO api_keys");
    expect((await own.api("GET", "/v1/projects", undefined, own.projectKey)).status).toBe(200);
  });

  test("X-Forwarded-For counts only when it comes from a trusted proxy, and IPv6 by its network", async () => {
    server = await startTestServer({ SENDOFF_WRONG_KEY_LIMIT: "1" });
    expect((await get(wrongKey("a"), "198.51.100.1")).status).toBe(401);
    expect((await get(wrongKey("b"), "198.51.100.2")).status).toBe(429);
    await server.stop();
    server = await startTestServer({ SENDOFF_WRONG_KEY_LIMIT: "1", SENDOFF_TRUSTED_PROXIES: "127.0.0.0/8" });
    const seen = [];
    for (const from of ["198.51.100.1", "198.51.100.2", "198.51.100.1", "9.9.9.9, 198.51.100.2"])
      seen.push((await get(wrongKey("a"), from)).status);
    for (const from of ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1", "no address"])
      seen.push((await get(wrongKey("a"), from)).status);
    expect(seen).toEqual([401, 401, 429, 429, 401, 429, 401, 401]);
  });

  test("sign-ins: a right key and a right link are let in beside wrong ones of their address, and wrong ones are counted", async () => {
    const own = await startTestServer({ SENDOFF_WRONG_KEY_LIMIT: "5" });
    server = own;
    const signIn = (body: object): Promise<Response> =>
      fetch(`${own.apiUrl}/dashboard/session`, {
        method: "POST",
        headers: { "content-type": "application/json", "sendoff-dashboard": "1" },
        body: JSON.stringify(body),
      });
    const letters = "abcdefghijklmnopqrst".split("");
    const wrong = await Promise.all(
      letters.map((letter, n) =>
        signIn(n % 2 === 0 ? { key: wrongKey(letter) } : { token: letter.repeat(43) }),
      ),
    );
    expect(wrong.map(({ status }) => status).sort()).toEqual([...Array(5).fill(401), ...Array(15).fill(429)]);
    expect((await signIn({ key: own.projectKey })).status).toBe(201);
    const token = new URL(own.signInUrl ?? "").hash.replace("#token=", "");
    const signedIn = await signIn({ token });
    expect(signedIn.status).toBe(201);
    expect((await signIn({ token })).status).toBe(429);
    // A process that has not seen the session yet.
    const beside = await startTestServer({ SENDOFF_WRONG_KEY_LIMIT: "1" }, own);
    try {
      const ask = (cookie: string): Promise<Response> =>
        fetch(`${beside.apiUrl}/v1/projects`, { headers: { cookie } });
      const port = new URL(beside.apiUrl).port;
      const value = /=([\w-]{43});/.exec(signedIn.headers.get("set-cookie") ?? "")?.[1];
      for (let n = 0; n < 3; n++) await ask(`sendoff_session_${port}=${"x".repeat(42)}${n}`);
      expect((await ask(`sendoff_session_${port}=${"y".repeat(43)}`)).status).toBe(429);
      expect((await ask(`sendoff_session_${port}=${value}`)).status).toBe(200);
    } finally {
      await beside.stop();
    }
  });

  test.each([
    ["SENDOFF_RATE_LIMIT", "0:1", "requests a second of one key"],
    ["SENDOFF_RATE_LIMIT", "100", "requests a second of one key and, after a colon"],
    ["SENDOFF_WRONG_KEY_LIMIT", "0", "a whole number from 1"],
    ["SENDOFF_ADDRESS_CONNECTIONS_MAX", "0", "a whole number from 1 to 10000"],
    ["SENDOFF_TRUSTED_PROXIES", "10.0.0.0/99", "addresses or ranges"],
    ["SENDOFF_TRUSTED_PROXIES", "proxy.example.com", "addresses or ranges"],
  ])("the setting %s=%s is refused", (name, value, expected) => {
    const read = () => readConfig({ [name]: value });
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(`${name} is ${JSON.stringify(value)}; expected ${expected}`);
  });
});

/** Opens a connection, sends bytes, and collects what comes back until it is closed. */
function open(port: number, text = ""): { socket: Socket; got: () => string; closed: Promise<number> } {
  const begun = performance.now();
  const socket = connect(port, "127.0.0.1");
  sockets.push(socket);
  let got = "";
  socket.on("data", (chunk) => {
    got += String(chunk);
  });
  socket.on("error", () => {});
  const closed = new Promise<number>((resolve) => {
    socket.on("close", () => resolve(performance.now() - begun));
  });
  if (text !== "") socket.write(text);
  return { socket, got: () => got, closed };
}

/** Sends a byte every 20 ms until the connection is closed. */
function drip(socket: Socket, byte: string): void {
  const timer = setInterval(() => socket.write(byte), 20);
  socket.on("close", () => clearInterval(timer));
}

describe("P9: time and connections", () => {
  const limits = { headersTimeoutMs: 300, requestTimeoutMs: 600, checkMs: 30, connectionsMax: 1_000 };
  const listenWith = async (more: Partial<typeof limits> = {}): Promise<number> => {
    const answer = async (request: Request): Promise<Response> => new Response(await request.text());
    http = await listenHttp("127.0.0.1", 0, { admission: () => null, answer }, { ...limits, ...more });
    return (http.address() as AddressInfo).port;
  };

  test("a connection without a byte, and headers that drip, are closed at the headers' time", async () => {
    const port = await listenWith();
    const silent = open(port);
    const dripping = open(port, "GET / HTTP/1.1\r\nhost: x\r\nx-a: ");
    drip(dripping.socket, "a");
    for (const { closed } of [silent, dripping]) {
      const ms = await closed;
      expect(ms).toBeGreaterThan(250);
      expect(ms).toBeLessThan(2_000);
    }
    expect(dripping.got()).toContain("408 Request Timeout");
  });

  test("a body that drips is answered with 408 and closed at the request's time", async () => {
    const port = await listenWith();
    const slow = open(port, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n");
    drip(slow.socket, "a");
    const ms = await slow.closed;
    expect(ms).toBeGreaterThan(550);
    expect(ms).toBeLessThan(2_500);
    expect(slow.got()).toContain("408 Request Timeout");
  });

  test("2,000 idle connections do not keep a request waiting", async () => {
    server = await startTestServer();
    const port = Number(new URL(server.apiUrl).port);
    const idle = Array.from({ length: 2_000 }, () => open(port));
    await Promise.all(idle.map(({ socket }) => new Promise((resolve) => socket.once("connect", resolve))));
    const begun = performance.now();
    expect((await server.api("GET", "/v1/projects")).status).toBe(200);
    expect(performance.now() - begun).toBeLessThan(2_000);
  });

  test("P8, P23: more bytes than were announced, and headers of 1 MB, are cut off, and no key is looked up", async () => {
    server = await startTestServer();
    const port = Number(new URL(server.apiUrl).port);
    const lookups = vi.spyOn(pg.Client.prototype, "query");
    const head = `POST /v1/projects HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n`;
    const longer = open(port, `${head}content-length: 2\r\n\r\n{}${"a".repeat(10_000_000)}`);
    await longer.closed;
    expect(longer.got()).toMatch(/^HTTP\/1.1 (401|400) /);
    const large = open(port, `${head}authorization: Bearer sk_${"a".repeat(1_000_000)}\r\n\r\n`);
    await large.closed;
    expect(large.got()).toMatch(/^HTTP\/1.1 431 /);
    const asked = lookups.mock.calls.filter(([query]) => (query as { name?: string }).name === "keys-find");
    expect(asked).toEqual([]);
    expect((await server.api("GET", "/v1/projects")).status).toBe(200);
  });

  test("a sender that goes away in the middle of a body is refused, not taken for a failure of ours", async () => {
    let reading = false;
    let ended: unknown = null;
    const answer = async (_request: Request, env: object): Promise<Response> => {
      reading = true;
      const { incoming } = env as { incoming: IncomingMessage };
      ended = await readJsonBytes(incoming, 1_000).catch((error: unknown) => error);
      return new Response();
    };
    http = await listenHttp("127.0.0.1", 0, { admission: () => null, answer });
    const { socket } = open(
      (http.address() as AddressInfo).port,
      'POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"a":',
    );
    await until("the body is being read", () => reading);
    socket.destroy();
    await until("reading has ended", () => ended !== null);
    expect(ended).toBeInstanceOf(Refusal);
    expect(ended).toMatchObject({
      code: "invalid_json",
      message: expect.stringContaining("broke off after"),
    });
  });
});
