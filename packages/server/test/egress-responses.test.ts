import { brotliCompressSync, gzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import { until } from "../../../test/until.ts";
import { answering, attempt, type RawServer, startRaw, testClients } from "./egress-attempt.ts";

const servers: RawServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});
const serve = async (...args: Parameters<typeof startRaw>): Promise<RawServer> => {
  const server = await startRaw(...args);
  servers.push(server);
  return server;
};

const head = (status: string, ...fields: string[]): string =>
  `HTTP/1.1 ${status}\r\n${fields.map((field) => `${field}\r\n`).join("")}\r\n`;
const ok = `${head("200 OK", "content-length: 2")}ok`;

/** What becomes of one attempt that is answered with these bytes. */
async function answered(bytes: string | Buffer, after?: Parameters<typeof answering>[1], timeoutMs = 5_000) {
  const server = await serve(answering(bytes, after));
  return { ...(await attempt(testClients(), server.url, { timeoutMs })), connections: server.connections };
}

const protocolError = {
  outcome: "unreachable",
  errorCode: "protocol_error",
  failedStep: "response",
  responseStatus: null,
};
const delivered = { outcome: "delivered", errorCode: null, failedStep: null };

describe("the deadline", () => {
  test.each([
    ["no byte ever", ""],
    ["half a status line", "HTTP/1.1 2"],
    ["a header block without end", "HTTP/1.1 200 OK\r\nx-a: b\r\n"],
  ])("R1: %s: timed_out at the deadline", async (_what, bytes) => {
    const result = await answered(bytes, undefined, 400);
    expect(result).toMatchObject({ outcome: "timed_out", errorCode: "timed_out", failedStep: "response" });
    expect(result.durationMs).toBeGreaterThanOrEqual(399);
    expect(result.durationMs).toBeLessThan(2_000);
    await until("its socket is closed", () => result.connections[0]?.destroyed === true);
  });

  test("R1: a header that drips without end is cut at the deadline", async () => {
    const result = await answered(
      "HTTP/1.1 200 OK\r\nx: ",
      (socket) => {
        const timer = setInterval(() => socket.write("a"), 20);
        socket.on("close", () => clearInterval(timer));
      },
      400,
    );
    expect(result).toMatchObject({ outcome: "timed_out", failedStep: "response" });
    expect(result.durationMs).toBeLessThan(2_000);
  });

  test("R1: a server that reads nothing leaves a large body in the step of the request", async () => {
    const server = await serve((socket) => socket.pause());
    const result = await attempt(testClients(), server.url, { timeoutMs: 400, body: "x".repeat(2 ** 24) });
    expect(result).toMatchObject({ outcome: "timed_out", failedStep: "request" });
  });
});

describe("informational answers", () => {
  const early = head("103 Early Hints", "link: </x>; rel=preload");
  test("R4: 100 Continue, which nobody asked for, is a protocol_error", async () => {
    expect(await answered(head("100 Continue").repeat(9) + ok)).toMatchObject(protocolError);
    expect(await answered(head("100 Continue"))).toMatchObject(protocolError);
  });
  test("R5: 8 answers of 103 Early Hints are borne, and the 9th is a protocol_error", async () => {
    expect(await answered(early.repeat(8) + ok)).toMatchObject({ ...delivered, responseStatus: 200 });
    expect(await answered(early.repeat(9) + ok)).toMatchObject(protocolError);
    const endless = await answered(early, (socket) => {
      const timer = setInterval(() => socket.write(early), 5);
      socket.on("close", () => clearInterval(timer));
    });
    expect(endless).toMatchObject(protocolError);
    expect(endless.durationMs).toBeLessThan(2_000);
  });
  test("R11: 101 Switching Protocols is a protocol_error", async () => {
    const upgrade = head("101 Switching Protocols", "upgrade: websocket", "connection: upgrade");
    expect(await answered(upgrade)).toMatchObject(protocolError);
    expect(await answered(head("101 Switching Protocols"))).toMatchObject(protocolError);
  });
});

describe("the size of things", () => {
  test("R6: of a body without end at most 64 KiB are read, and 4 KiB kept", async () => {
    const before = process.memoryUsage().rss;
    const result = await answered(head("200 OK"), (socket) => {
      const more = (): void => {
        while (!socket.destroyed && socket.write(Buffer.alloc(256 * 1_024, "x")));
      };
      socket.on("drain", more);
      more();
    });
    expect(result).toMatchObject({ ...delivered, responseStatus: 200 });
    expect(result.responseBody?.length).toBe(4_096);
    const [socket] = result.connections;
    await until("its socket is closed", () => socket?.destroyed === true);
    // What the system and both ends hold in their buffers.
    expect(socket?.bytesWritten).toBeLessThan(32 * 2 ** 20);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
  });
  test("R7: a header of 20 KB is a protocol_error", async () => {
    expect(await answered(head("200 OK", `x-long: ${"v".repeat(20_000)}`))).toMatchObject(protocolError);
    expect(
      await answered(head("200 OK", `x-long: ${"v".repeat(12_000)}`, "content-length: 0")),
    ).toMatchObject(delivered);
    const many = Array.from({ length: 100 }, (_, n) => `x-${n}: ${"v".repeat(250)}`);
    expect(await answered(head("200 OK", ...many))).toMatchObject(protocolError);
  });
  test("R8: 200 header fields are borne, and one more is a protocol_error", async () => {
    const fields = (count: number): string[] => Array.from({ length: count }, (_, n) => `x-${n}: v`);
    expect(await answered(head("200 OK", "content-length: 0", ...fields(199)))).toMatchObject(delivered);
    expect(await answered(head("200 OK", "content-length: 0", ...fields(200)))).toMatchObject(protocolError);
    expect(await answered(head("200 OK", ...fields(1_500)))).toMatchObject(protocolError);
    expect(await answered(head("103 Early Hints", ...fields(300)) + ok)).toMatchObject(protocolError);
  });
});

describe("what is no HTTP", () => {
  test.each<[what: string, bytes: string | Buffer]>([
    ["a NUL in a header", "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n"],
    ["a bad status line", "HTTP/1.1 OK 200\r\n\r\n"],
    ["a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n"],
    ["text of HTTP/0.9", "<html>hello</html>"],
    ["HTTP/2 frames", Buffer.from("000012040000000000000300000064", "hex")],
    ["bytes of a TLS alert", Buffer.from([21, 3, 3, 0, 2, 2, 40])],
    ["two lengths", head("200 OK", "content-length: 1", "content-length: 2")],
    ["a length that is none", head("200 OK", "content-length: -1")],
  ])("R15: %s is a protocol_error", async (_what, bytes) => {
    const result = await answered(bytes, undefined, 1_000);
    expect(result).toMatchObject(protocolError);
  });
  test("R15: an end without an answer is a protocol_error, and a reset a connect_error", async () => {
    expect(await answered("", (socket) => socket.end())).toMatchObject(protocolError);
    expect(await answered("", (socket) => socket.resetAndDestroy())).toMatchObject({
      ...protocolError,
      errorCode: "connect_error",
    });
    const atOnce = await serve((socket) => socket.end());
    expect(await attempt(testClients(), atOnce.url)).toMatchObject({ outcome: "unreachable" });
  });
});

describe("what the status decides", () => {
  test("R16: a 204 with a body is delivered, and the connection is not used again", async () => {
    const server = await serve(answering(`${head("204 No Content")}surprise`));
    const clients = testClients();
    for (let n = 1; n <= 2; n++) {
      expect(await attempt(clients, server.url)).toMatchObject({ ...delivered, responseStatus: 204 });
      expect(server.connections.length).toBe(n);
    }
  });

  const targets = [
    "http://169.254.169.254/latest",
    "http://127.0.0.1:1/",
    "/hook",
    "https://ok.example.com/",
  ];
  test.each([301, 302, 303, 307, 308])(
    "R17: %i is a rejection wherever it leads, without a second connection",
    async (status) => {
      for (const location of targets) {
        const result = await answered(head(`${status} Moved`, `location: ${location}`, "content-length: 0"));
        expect(result).toMatchObject({
          outcome: "rejected",
          errorCode: "redirect_not_followed",
          responseStatus: status,
        });
        expect(result.connections.length).toBe(1);
      }
    },
  );

  test("R19: a compressed body is kept as it came and never decompressed", async () => {
    const bomb = gzipSync(Buffer.alloc(50 * 2 ** 20));
    for (const [encoding, bytes] of [
      ["gzip", bomb],
      ["br", brotliCompressSync(Buffer.alloc(2 ** 20))],
      ["zstd", Buffer.from("28b52ffd", "hex")],
      [Array.from({ length: 1_000 }, () => "gzip").join(", "), bomb],
    ] as const) {
      const fields = [`content-encoding: ${encoding}`, `content-length: ${bytes.length}`];
      const result = await answered(Buffer.concat([Buffer.from(head("200 OK", ...fields)), bytes]));
      expect(result).toMatchObject(delivered);
      expect(result.responseBody).toEqual(bytes.subarray(0, 4_096));
    }
  });

  test("R22: 410 is a rejection", async () => {
    expect(await answered(head("410 Gone", "content-length: 0"))).toMatchObject({
      outcome: "rejected",
      errorCode: "http_error",
      responseStatus: 410,
    });
  });

  test.each([
    ["without a length", head("200 OK")],
    ["shorter than its length", `${head("200 OK", "content-length: 10")}ok`],
    ["in chunks without an end", `${head("200 OK", "transfer-encoding: chunked")}2\r\nok\r\n`],
  ])("R25: a 2xx whose body never ends, %s, gives its place back after 1 s", async (_what, bytes) => {
    const result = await answered(bytes);
    expect(result).toMatchObject({ outcome: "delivered", errorCode: "body_incomplete", responseStatus: 200 });
    expect(result.durationMs).toBeGreaterThanOrEqual(990);
    expect(result.durationMs).toBeLessThan(3_000);
    await until("its socket is closed", () => result.connections[0]?.destroyed === true);
  });

  test("R25: a 2xx whose body breaks off is delivered, and the row says that the body did", async () => {
    const short = `${head("200 OK", "content-length: 10")}ok`;
    for (const end of ["end", "resetAndDestroy"] as const) {
      const result = await answered(short, (socket) => setTimeout(() => socket[end](), 20));
      expect(result).toMatchObject({ outcome: "delivered", errorCode: "body_incomplete" });
      expect(String(result.responseBody)).toBe("ok");
    }
  });

  test("R28: an answer before the body was read counts, a reset behind it does not, and there is one result", async () => {
    const results: unknown[] = [];
    const server = await serve((socket) => {
      socket.once("data", () => {
        socket.pause();
        socket.write(head("413 Too Large", "content-length: 0"), () => socket.resetAndDestroy());
      });
    });
    for (let n = 0; n < 20; n++) {
      const result = await attempt(testClients(), server.url, { body: "x".repeat(2 ** 20) });
      results.push(result.outcome);
      expect([413, null]).toContain(result.responseStatus);
    }
    expect(results.length).toBe(20);
    expect(server.connections.length).toBe(20);
  });

  test("R30: Set-Cookie, HSTS and Alt-Svc are ignored", async () => {
    const seen: string[] = [];
    const fields = ["set-cookie: a=b", "strict-transport-security: max-age=9", 'alt-svc: h3=":443"'];
    const server = await serve((socket) => {
      socket.on("data", (chunk) => seen.push(chunk.toString()));
      answering(head("200 OK", ...fields, "content-length: 0"))(socket);
    });
    const clients = testClients();
    for (let n = 0; n < 2; n++) expect(await attempt(clients, server.url)).toMatchObject(delivered);
    expect(seen.join("")).not.toMatch(/cookie/i);
    expect(seen.join("").match(/POST \/hook HTTP\/1\.1/g)?.length).toBe(2);
  });

  test("a Retry-After is told, in seconds or as a date", async () => {
    const result = await answered(head("503 Later", "retry-after: 7", "content-length: 0"));
    expect(result).toMatchObject({ outcome: "rejected", retryAfterMs: 7_000 });
  });
});
