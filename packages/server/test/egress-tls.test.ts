import { type AddressInfo, createServer as createTcp, type Server, type Socket } from "node:net";
import { createServer, type TlsOptions } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { readConfig } from "../src/config.ts";
import { type CertificateOptions, type Issued, issue, permittedNames } from "./certificates.ts";
import { answering, attempt, testClients } from "./egress-attempt.ts";
import { bytesUsed } from "./memory.ts";

const host = "ok.example.com";
const dns = (value: string) => ({ type: "dns" as const, value });
const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

let root: Issued;
let good: Issued;
beforeAll(async () => {
  root = await issue("Root of the tests", { ca: true });
  good = await issue(host, { by: root, names: [dns(host)] });
});

const servers: Array<{ server: Server; sockets: Set<Socket> }> = [];
afterEach(async () => {
  for (const { server, sockets } of servers.splice(0)) {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
});

/** Listens on loopback; tells the port and what came in clear. */
async function listen(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
  });
  servers.push({ server, sockets });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

/** A server with a certificate; `requests` are the bytes of HTTP that it has seen. */
async function startTls(
  options: TlsOptions,
): Promise<{ port: number; requests: Buffer[]; names: unknown[] }> {
  const [requests, names]: [Buffer[], unknown[]] = [[], []];
  const server = createServer(options, (socket) => {
    names.push(socket.servername);
    socket.on("error", () => {});
    socket.on("data", (chunk) => requests.push(chunk));
    answering(ok)(socket);
  });
  server.on("tlsClientError", () => {});
  return { port: await listen(server), requests, names };
}

const clientsFor = (port: number) =>
  testClients({
    allow: "127.0.0.1",
    ports: String(port),
    resolver: { resolve: async () => ["127.0.0.1"] },
    ca: [root.cert],
  });

const tlsError = { outcome: "unreachable", errorCode: "tls_error", failedStep: "tls", responseStatus: null };

describe("certificates", () => {
  test("one for the name, by an authority that is trusted, is taken; SNI is the name although an address was dialled", async () => {
    const { port, requests, names } = await startTls(good);
    const clients = clientsFor(port);
    for (let n = 0; n < 2; n++) {
      expect(await attempt(clients, `https://${host}:${port}/`)).toMatchObject({ outcome: "delivered" });
    }
    // Twice on one connection.
    expect(names).toEqual([host]);
    expect(Buffer.concat(requests).toString()).toContain(`host: ${host}:${port}`);
    await clients.close();
  });

  const wrong: Array<[row: string, make: () => Promise<TlsOptions>]> = [
    ["T1: signed by itself", () => issue(host, { names: [dns(host)] })],
    ["T2: expired", () => ofRoot({ from: -9, to: -1 })],
    ["T3: not yet valid", () => ofRoot({ from: 1, to: 9 })],
    ["T4: for another name", () => ofRoot({ names: [dns("other.example.com"), dns("*.ok.example.com")] })],
    [
      "T5: with an incomplete chain",
      async () => {
        const middle = await issue("Middle", { by: root, ca: true });
        return issue(host, { by: middle, names: [dns(host)] });
      },
    ],
    [
      "T6: by an authority that may not certify the name",
      async () => {
        const middle = await issue("Bound", { by: root, ca: true, more: [permittedNames("elsewhere.org")] });
        const leaf = await issue(host, { by: middle, names: [dns(host)] });
        return { key: leaf.key, cert: `${leaf.cert}\n${middle.cert}` };
      },
    ],
    [
      "T9: for the address and not the name",
      () => issue("An address", { by: root, names: [{ type: "ip", value: "127.0.0.1" }] }),
    ],
  ];
  const ofRoot = (more: CertificateOptions): Promise<Issued> =>
    issue(host, { by: root, names: [dns(host)], ...more });

  test.each(wrong)("%s: tls_error, and not one byte of HTTP is written", async (_row, make) => {
    const { port, requests } = await startTls(await make());
    expect(await attempt(clientsFor(port), `https://${host}:${port}/`)).toMatchObject(tlsError);
    expect(requests).toEqual([]);
  });

  test("the same authority between them may certify a name that it may", async () => {
    const middle = await issue("Bound", { by: root, ca: true, more: [permittedNames("example.com")] });
    const leaf = await issue(host, { by: middle, names: [dns(host)] });
    const { port } = await startTls({ key: leaf.key, cert: `${leaf.cert}\n${middle.cert}` });
    expect((await attempt(clientsFor(port), `https://${host}:${port}/`)).outcome).toBe("delivered");
  });

  test("an address that the operator has opened as a literal is certified as an address", async () => {
    const { port } = await startTls(await ofRoot({ names: [{ type: "ip", value: "127.0.0.1" }] }));
    expect((await attempt(clientsFor(port), `https://127.0.0.1:${port}/`)).outcome).toBe("delivered");
    const { port: byName } = await startTls(good);
    expect(await attempt(clientsFor(byName), `https://127.0.0.1:${byName}/`)).toMatchObject(tlsError);
  });

  test("T11: 1,000 attempts at a bad certificate cost no memory", async () => {
    const { port, requests } = await startTls(await issue(host, { names: [dns(host)] }));
    const clients = clientsFor(port);
    const some = async (count: number): Promise<void> => {
      for (let n = 0; n < count; n += 10) {
        await Promise.all(Array.from({ length: 10 }, () => attempt(clients, `https://${host}:${port}/`)));
      }
    };
    await some(200);
    const before = bytesUsed();
    await some(1_000);
    const perAttempt = (bytesUsed() - before) / 1_000;
    console.log(`1,000 attempts at a bad certificate: ${Math.round(perAttempt)} bytes each`);
    expect(perAttempt).toBeLessThan(1_024);
    expect(requests).toEqual([]);
  });
});

describe("what is no TLS server", () => {
  test("T8: a handshake that stalls is timed out at the deadline, and so is one that drips", async () => {
    const stalls = await listen(createTcp(() => {}));
    const drips = await listen(
      createTcp((socket) => {
        // The beginning of a record that announces 16 KiB.
        const bytes = Buffer.concat([Buffer.from([22, 3, 3, 64, 0]), Buffer.alloc(16_384, 2)]);
        let at = 0;
        const timer = setInterval(() => socket.write(bytes.subarray(at, ++at)), 30);
        socket.on("close", () => clearInterval(timer));
      }),
    );
    for (const port of [stalls, drips]) {
      const result = await attempt(clientsFor(port), `https://${host}:${port}/`, { timeoutMs: 400 });
      expect(result).toMatchObject({ outcome: "timed_out", errorCode: "timed_out", failedStep: "tls" });
      expect(result.durationMs).toBeGreaterThanOrEqual(399);
      expect(result.durationMs).toBeLessThan(2_000);
    }
  });

  test("T12: plain HTTP, garbage without end, and an end at once are tls_errors, of which next to nothing is read", async () => {
    const taken: Array<() => number> = [];
    const speaks = (say: (socket: Socket) => void): Promise<number> =>
      listen(
        createTcp((socket) => {
          taken.push(() => socket.bytesWritten - socket.writableLength);
          say(socket);
        }),
      );
    const ports = [
      await speaks((socket) => socket.write(ok)),
      await speaks((socket) => {
        const garbage = Buffer.alloc(64 * 1_024, "garbage!");
        const more = (): void => {
          while (!socket.destroyed && socket.bytesWritten < 2 ** 30 && socket.write(garbage));
        };
        socket.on("drain", more);
        more();
      }),
      await speaks((socket) => socket.end()),
      await speaks((socket) => socket.end(Buffer.from([21, 3, 3, 0, 2, 2, 40]))),
    ];
    for (const port of ports) {
      expect(await attempt(clientsFor(port), `https://${host}:${port}/`)).toMatchObject(tlsError);
    }
    // A reset at once may come before the handshake or in it.
    const resets = await speaks((socket) => socket.resetAndDestroy());
    const { errorCode } = await attempt(clientsFor(resets), `https://${host}:${resets}/`);
    expect(errorCode).toMatch(/^(connect|tls)_error$/);
    // What the system has taken from the one who sends garbage lies in the buffers between them.
    expect(Math.max(...taken.map((count) => count()))).toBeLessThan(16 * 2 ** 20);
  });

  test("T13: HTTP/1.1 alone is offered; a server that speaks only h2 is a tls_error", async () => {
    const { port, requests } = await startTls({ ...good, ALPNProtocols: ["h2"] });
    expect(await attempt(clientsFor(port), `https://${host}:${port}/`)).toMatchObject(tlsError);
    expect(requests).toEqual([]);
    const both = await startTls({ ...good, ALPNProtocols: ["h2", "http/1.1"] });
    expect((await attempt(clientsFor(both.port), `https://${host}:${both.port}/`)).outcome).toBe("delivered");
  });
});

describe("the environment", () => {
  afterAll(() => {
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  });

  test("T14: NODE_TLS_REJECT_UNAUTHORIZED=0 is refused at the start, with every other wrong setting", () => {
    const wrong = {
      NODE_TLS_REJECT_UNAUTHORIZED: "0",
      SENDOFF_EGRESS_ALLOW: "10.0.0.0/33",
      SENDOFF_EGRESS_DENY: "10.0.0.0/8;11.0.0.0/8",
      SENDOFF_EGRESS_PORTS: "0",
      SENDOFF_EGRESS_NAT64: "yes",
      SENDOFF_ALLOW_HTTP: "some",
    };
    for (const name of Object.keys(wrong)) expect(() => readConfig(wrong)).toThrow(name);
    expect(() => readConfig(wrong)).toThrow("NODE_EXTRA_CA_CERTS");
    expect(() => readConfig({ NODE_TLS_REJECT_UNAUTHORIZED: "1" })).not.toThrow();
  });

  test("T14: and were it set later, certificates would be verified all the same", async () => {
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    const { port, requests } = await startTls(await issue(host, { names: [dns(host)] }));
    expect(await attempt(clientsFor(port), `https://${host}:${port}/`)).toMatchObject(tlsError);
    expect(requests).toEqual([]);
  });
});
