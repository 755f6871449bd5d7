import { hostname } from "node:os";
import { afterEach, describe, expect, test } from "vitest";
import { openToTheWorld } from "../../../test/guard.ts";
import { startTestServer } from "../../../test/server.ts";
import { startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import { parseAddress } from "../src/egress/address.ts";
import { inTurn } from "../src/egress/dial.ts";
import { createOwn } from "../src/egress/own.ts";
import { parseBlocks } from "../src/egress/policy.ts";
import { createResolver, type Resolver } from "../src/egress/resolver.ts";
import {
  answering,
  attempt,
  blackHole,
  type RawServer,
  startDns,
  startRaw,
  testClients,
} from "./egress-attempt.ts";

const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const servers: RawServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});
const serve = async (...args: Parameters<typeof startRaw>): Promise<RawServer> => {
  const server = await startRaw(...args);
  servers.push(server);
  return server;
};

/** A resolver that answers from a list, one answer a look-up, the last for ever. */
function fakeResolver(...answers: ReadonlyArray<readonly string[]>): Resolver & { asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    async resolve(name) {
      asked.push(name);
      return answers[Math.min(asked.length, answers.length) - 1] ?? [];
    },
  };
}

/** Plain http is open; 127.0.0.1 stands for a public address, and the rest of loopback for a private network. */
const world = (port: number, more: object) => ({
  policy: { allowHttp: "all" as const },
  deny: "127.0.0.2/31,127.0.0.4/30,127.0.0.8/29",
  ports: String(port),
  ...more,
});

const blocked = {
  outcome: "blocked",
  errorCode: "blocked",
  failedStep: null,
  responseStatus: null,
  responseBody: null,
  durationMs: null,
  retryAfterMs: null,
};

describe("what a name leads to", () => {
  test.each([
    ["127.0.0.2"],
    ["10.0.0.1"],
    ["169.254.169.254"],
    ["0.0.0.0"],
    ["::ffff:127.0.0.1"],
    ["64:ff9b::7f00:1"],
    ["fd00::1"],
  ])("D1, D3: %s is blocked, and nothing is dialled", async (address) => {
    const server = await serve(answering(ok), "127.0.0.2");
    const clients = testClients(world(server.port, { resolver: fakeResolver([address]) }));
    expect(await attempt(clients, `http://ok.example.com:${server.port}/`)).toEqual(blocked);
    expect(server.connections.length).toBe(0);
  });

  test.each([[["127.0.0.1", "10.0.0.1"]], [["10.0.0.1", "127.0.0.1"]], [["127.0.0.1", "fd00::1"]]])(
    "D4: a good address beside a forbidden one does not help: %j",
    async (answer) => {
      const server = await serve(answering(ok));
      const clients = testClients(world(server.port, { resolver: fakeResolver(answer) }));
      expect(await attempt(clients, `http://ok.example.com:${server.port}/`)).toEqual(blocked);
      expect(server.connections.length).toBe(0);
    },
  );

  test("D5: a name is looked up once in an attempt, and what was checked is what is dialled", async () => {
    const server = await serve(answering(ok));
    const resolver = fakeResolver(["127.0.0.1"], ["127.0.0.2"]);
    const clients = testClients(world(server.port, { resolver }));
    const url = `http://ok.example.com:${server.port}/`;
    expect(await attempt(clients, url)).toMatchObject({ outcome: "delivered" });
    expect(resolver.asked).toEqual(["ok.example.com"]);
    expect(server.connections.length).toBe(1);
    expect(server.connections[0]?.localAddress).toBe("127.0.0.1");
    // The next goes out on the connection that was checked; without one the name is looked up again, and blocked.
    expect(await attempt(clients, url)).toMatchObject({ outcome: "delivered" });
    expect(resolver.asked.length).toBe(1);
    for (const socket of server.connections) socket.destroy();
    await until("the connection is seen to be gone", async () => {
      return (await attempt(clients, url)).outcome === "blocked";
    });
    expect(resolver.asked.length).toBe(2);
    expect(server.connections.length).toBe(1);
  });

  test("D6: a name that was public when it was saved and is private at the attempt is blocked, in one wording", async () => {
    const sink = await startSink();
    const { port } = new URL(sink.url);
    const resolver = fakeResolver(["127.0.0.1"], ["127.0.0.2"]);
    const server = await startTestServer(
      { SENDOFF_ALLOW_HTTP: "all", SENDOFF_EGRESS_DENY: "127.0.0.2", SENDOFF_EGRESS_PORTS: port },
      null,
      undefined,
      resolver,
    );
    const path = `/v1/projects/${server.projectId}`;
    const saved = await server.api("PATCH", `${path}/agent`, {
      postSessionWebhook: {
        url: `http://ok.example.com:${port}/`,
        delivery: { retries: { attempts: 3, window: "1m" } },
      },
    });
    expect(saved.status, saved.text).toBe(200);
    expect(resolver.asked.length).toBe(1);
    const ended = { channel: "text", currentNodeId: "x", messagesCount: 1, extractedVariables: {} };
    await server.api("POST", `${path}/sessions/moved/conversation-ended`, ended);
    const logs = async () => (await server.api("GET", `${path}/webhook-logs?sessionId=moved`)).body.data;
    await until("the attempt is logged", async () => (await logs()).length === 1);
    // D17: neither a rule nor a duration.
    expect(await logs()).toMatchObject([
      { outcome: "blocked", errorCode: "blocked", failedStep: null, durationMs: null, settledAs: "failed" },
    ]);
    expect(sink.received.length).toBe(0);
    await server.stop();
    await sink.close();
  });
});

describe("connecting", () => {
  test("D11: a refused connection is a connect_error at once", async () => {
    const server = await startRaw(() => {});
    await server.close();
    expect(await attempt(testClients(), server.url)).toMatchObject({
      outcome: "unreachable",
      errorCode: "connect_error",
      failedStep: "connect",
    });
  });

  test("D11: nobody answers: a connect_error within its budget, shared by all addresses", async () => {
    // A listener whose queue is full drops what comes: the only black hole that needs no privileges.
    const hole = await blackHole();
    const clients = testClients({
      policy: { allowHttp: "all" },
      resolver: fakeResolver(["127.0.0.1", "127.0.0.1"]),
      ports: String(hole.port),
      budgets: { dnsMs: 500, connectMs: 400, tlsMs: 500 },
    });
    const result = await attempt(clients, `http://ok.example.com:${hole.port}/`);
    await hole.close();
    expect(result).toMatchObject({
      outcome: "unreachable",
      errorCode: "connect_error",
      failedStep: "connect",
    });
    expect(result.durationMs).toBeGreaterThanOrEqual(350);
    expect(result.durationMs).toBeLessThan(1_500);
  });

  test("a look-up that hangs is a dns_error within its budget, and timed out when the deadline comes first", async () => {
    const resolver: Resolver = { resolve: () => new Promise(() => {}) };
    const parts = { policy: { allowHttp: "all" as const }, resolver };
    const budgets = { dnsMs: 150, connectMs: 400, tlsMs: 500 };
    const url = "http://ok.example.com/";
    expect(await attempt(testClients({ ...parts, budgets }), url)).toMatchObject({
      outcome: "unreachable",
      errorCode: "dns_error",
      failedStep: "dns",
    });
    expect(await attempt(testClients(parts), url, { timeoutMs: 150 })).toMatchObject({
      outcome: "timed_out",
      errorCode: "timed_out",
      failedStep: "dns",
    });
    for (const answer of [[], ["not an address"]]) {
      const result = await attempt(testClients({ ...parts, resolver: fakeResolver(answer) }), url);
      expect(result.outcome).toBe(answer.length === 0 ? "unreachable" : "blocked");
    }
    const failing = { resolve: async () => Promise.reject(new Error("SERVFAIL")) };
    expect(await attempt(testClients({ ...parts, resolver: failing }), url)).toMatchObject({
      errorCode: "dns_error",
      failedStep: "dns",
    });
  });

  test("D12: an address of this machine is blocked, though it be public, unless the operator opens it", async () => {
    const server = await serve(answering(ok));
    const own = { interfaces: () => ["127.0.0.1", "93.184.216.34"] };
    const parts = world(server.port, { resolver: fakeResolver(["93.184.216.34"]), own });
    const url = `http://ok.example.com:${server.port}/`;
    expect(await attempt(testClients(parts), url)).toEqual(blocked);
    const self = createOwn({ listenPort: null, publicUrl: async () => "", ...own });
    const address = parseAddress("93.184.216.34") ?? expect.fail();
    expect(self.isSelf(openToTheWorld, address, 443)).toBe(true);
    const allow = parseBlocks("93.184.216.34") ?? [];
    expect(self.isSelf({ ...openToTheWorld, allow }, address, 443)).toBe(false);
  });

  test("D12: our own port is blocked under any of this machine's addresses, but for the inspector", async () => {
    const server = await serve(answering(ok), "0.0.0.0");
    const clients = testClients({
      policy: { allowHttp: "loopback" },
      allow: "127.0.0.0/8",
      ownUrls: [`http://127.0.0.1:${server.port}`],
      own: { listenPort: server.port },
    });
    for (const host of ["127.0.0.1", "localhost", "127.0.0.77"]) {
      const url = `http://${host}:${server.port}/v1/projects`;
      expect(await attempt(clients, url), url).toEqual(blocked);
    }
    expect(server.connections.length).toBe(0);
    const inspector = `http://127.0.0.1:${server.port}/inspect/token`;
    expect((await attempt(clients, inspector)).outcome).toBe("delivered");
    // Not even on the connection that the inspector has left open.
    expect(await attempt(clients, `http://127.0.0.1:${server.port}/v1/projects`)).toEqual(blocked);
    expect((await attempt(clients, inspector)).outcome).toBe("delivered");
    expect(server.connections.length).toBe(1);
  });

  test("a worker that was started first learns where the API's inspector is", async () => {
    const server = await serve(answering(ok));
    let known = false;
    const publicUrl = async (): Promise<string> =>
      known ? `http://127.0.0.1:${server.port}` : Promise.reject(new Error("no API has started"));
    const clients = testClients({ own: { publicUrl } });
    const inspector = `http://127.0.0.1:${server.port}/inspect/token`;
    expect(await attempt(clients, inspector)).toEqual(blocked);
    known = true;
    expect((await attempt(clients, inspector)).outcome).toBe("delivered");
  });

  test("D13: a proxy in the environment is ignored", async () => {
    const [server, proxy] = [await serve(answering(ok)), await serve(answering(ok), "127.0.0.3")];
    const names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    const before = { ...process.env };
    for (const name of names) process.env[name] = `http://127.0.0.3:${proxy.port}`;
    process.env.NODE_USE_ENV_PROXY = "1";
    try {
      expect((await attempt(testClients(), server.url)).outcome).toBe("delivered");
    } finally {
      for (const name of [...names, "NODE_USE_ENV_PROXY"]) {
        if (before[name] === undefined) delete process.env[name];
        else process.env[name] = before[name];
      }
    }
    expect(proxy.connections.length).toBe(0);
    expect(server.connections.length).toBe(1);
  });

  test("D14: names are absolute: no search list and no /etc/hosts, and one question for each family", async () => {
    const server = await startDns({ "ok.example.com": "93.184.216.34" });
    process.env.LOCALDOMAIN = "search.example.org";
    const resolver = createResolver([`127.0.0.1:${server.port}`]);
    delete process.env.LOCALDOMAIN;
    expect(await resolver.resolve("ok.example.com")).toEqual(["93.184.216.34"]);
    expect(await resolver.resolve("nowhere.example.com")).toEqual([]);
    // This name is in the /etc/hosts of most machines.
    expect(await resolver.resolve(hostname())).toEqual([]);
    const expected = ["ok.example.com", "nowhere.example.com", hostname()].flatMap((name) => [
      `${name} 1`,
      `${name} 28`,
    ]);
    expect(server.asked.sort()).toEqual(expected.sort());
    await server.close();
    await expect(resolver.resolve("ok.example.com")).rejects.toThrow();
  });

  test("D15: both families are checked and tried in turn", async () => {
    expect(inTurn(["2001:db8::1", "2001:db8::2", "1.1.1.1", "2001:db8::3", "2.2.2.2"])).toEqual([
      "1.1.1.1",
      "2001:db8::1",
      "2.2.2.2",
      "2001:db8::2",
      "2001:db8::3",
    ]);
    const server = await serve(answering(ok), "::1");
    const resolver = fakeResolver(["127.0.0.1", "::1"]);
    const clients = testClients(world(server.port, { resolver }));
    expect((await attempt(clients, `http://ok.example.com:${server.port}/`)).outcome).toBe("delivered");
    expect((await attempt(testClients(), `http://localhost:${server.port}/`)).outcome).toBe("delivered");
    const closed = testClients({ ...world(server.port, { resolver }), deny: "::1" });
    expect(await attempt(closed, `http://ok.example.com:${server.port}/`)).toEqual(blocked);
  });
});
