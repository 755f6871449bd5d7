import type { Socket } from "node:net";
import { attemptSteps, outcomes } from "@sendoff/contract";
import { expect, test } from "vitest";
import type { AttemptResult } from "../src/outbox/result.ts";
import { attempt, startRaw, testClients } from "./egress-attempt.ts";
import { bytesUsed } from "./memory.ts";
import { fuzzRuns, pick, type Random, randomOf } from "./random.ts";

const seed = 20_261_123;
/** Attempts under way at a time. */
const atOnce = 32;
/** Short, for many of the answers never come to an end. */
const timeoutMs = 1_000;

/** Printable and other characters to cut pieces from: making each anew would take most of the time. */
const printable = String.fromCharCode(
  ...Array.from({ length: 4_096 }, (_, n) => 32 + ((n * n * 31 + n * 7) % 95)),
);
const anything = String.fromCharCode(
  ...Array.from({ length: 4_096 }, (_, n) => (n * n * 31 + n * 7 + (n >> 5)) % 256),
);
const piece = (of: string, random: Random, length: number): string => {
  const from = random(of.length - length);
  return of.slice(from, from + random(length));
};
const text = (random: Random, length: number): string => piece(printable, random, length);
const bytes = (random: Random, length: number): string => piece(anything, random, length);

function someStatusLine(random: Random): string {
  const status = pick(random, [
    "200",
    "204",
    "301",
    "304",
    "307",
    "410",
    "500",
    "503",
    "100",
    "101",
    "103",
    "199",
  ]);
  return random(8) > 0
    ? `HTTP/1.${random(2)} ${status} ${text(random, 8)}\r\n`
    : pick(random, [
        () => `HTTP/1.1 ${random(10_000)} x\r\n`,
        () => `HTTP/2 ${status}\r\n`,
        () => `HTTP/1.1 ${status}\n`,
        () => `${bytes(random, 40)}\r\n`,
        () => "ICY 200 OK\r\n",
        () => `${bytes(random, 9)}HTTP/1.1 200 OK\r\n`,
      ])();
}

function someField(random: Random): string {
  const known = [
    () => `content-length: ${random(40)}`,
    () => `content-length: ${pick(random, ["-1", "1e3", "99999999999999999999", "0x5", "5, 5", ""])}`,
    () => "transfer-encoding: chunked",
    () => `transfer-encoding: ${pick(random, ["gzip, chunked", "identity", "chunked, chunked", "xchunked"])}`,
    () => `connection: ${pick(random, ["close", "keep-alive", "upgrade", "x, close"])}`,
    () => `keep-alive: timeout=${random(9)}`,
    () => "upgrade: websocket",
    () => `retry-after: ${pick(random, ["5", "-5", "x", "Wed, 21 Oct 2026 07:28:00 GMT"])}`,
    () => `content-encoding: ${pick(random, ["gzip", "br", "x"])}`,
    () => `set-cookie: ${text(random, 20)}`,
    () => `${text(random, 12)}: ${text(random, 60)}`,
    () => `x-${random(99)}: ${bytes(random, 30)}`,
    () => ` folded ${text(random, 9)}`,
    () => bytes(random, 30),
    () => `x: ${"v".repeat(random(5) === 0 ? random(20_000) : 9)}`,
  ];
  return `${pick(random, known)()}${random(30) === 0 ? "\n" : "\r\n"}`;
}

function someBody(random: Random): string {
  return pick(random, [
    () => "",
    () => text(random, 60),
    () => bytes(random, 300),
    () => `${random(30).toString(16)}\r\n${text(random, 40)}\r\n0\r\n\r\n`,
    () => "5\r\nhello\r\n0\r\n\r\n",
    () => "5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
    () => "ffffffffffffffffff\r\nx",
    () => (random(20) === 0 ? "x".repeat(random(200_000)) : "y"),
    () => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
  ])();
}

/** An answer that is right and keeps the connection. */
function rightAnswer(random: Random): string {
  const body = text(random, 200);
  const fields = Array.from({ length: random(6) }, () => `x-${random(99)}: ${random(1_000_000)}\r\n`);
  const status = pick(random, ["200 OK", "202 Accepted", "307 Moved", "500 Oops", "410 Gone"]);
  return `HTTP/1.1 ${status}\r\ncontent-length: ${body.length}\r\n${fields.join("")}\r\n${body}`;
}

/** An answer that may be right, wrong in some place, or none at all. */
function someAnswer(random: Random): string {
  if (random(20) === 0) return bytes(random, 400);
  const early = random(10) === 0 ? "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(random(12)) : "";
  const fields = Array.from({ length: random(50) === 0 ? random(400) : random(5) }, () => someField(random));
  const whole = `${early}${someStatusLine(random)}${fields.join("")}\r\n${someBody(random)}`;
  return random(6) === 0 ? whole.slice(0, random(whole.length + 1)) : whole;
}

/** Writes an answer in pieces, and then ends, breaks or keeps the connection. */
function answer(socket: Socket, random: Random): void {
  if (random(4) > 0) {
    socket.write(rightAnswer(random), "latin1");
    return;
  }
  if (random(30) === 0) {
    socket.resetAndDestroy();
    return;
  }
  const whole = Buffer.from(someAnswer(random), "latin1");
  const cut = random(4) === 0 ? random(whole.length + 1) : whole.length;
  const end = random(200);
  const rest = (): void => {
    if (socket.destroyed) return;
    if (cut < whole.length) socket.write(whole.subarray(cut));
    if (end < 160) socket.end();
    else if (end < 198) socket.resetAndDestroy();
  };
  socket.write(whole.subarray(0, cut));
  if (random(3) === 0) setImmediate(rest);
  else rest();
}

const problems = ({
  outcome,
  errorCode,
  failedStep,
  responseStatus,
  durationMs,
  responseBody,
}: AttemptResult) => [
  ...(outcomes.includes(outcome) && !["blocked", "unknown", "cancelled"].includes(outcome) ? [] : [outcome]),
  ...((responseStatus !== null && responseStatus >= 200 && responseStatus < 300) === (outcome === "delivered")
    ? []
    : [`${outcome} with ${responseStatus}`]),
  ...(failedStep === null || attemptSteps.includes(failedStep) ? [] : [failedStep]),
  ...(outcome !== "delivered" && errorCode === null ? ["no errorCode"] : []),
  ...((durationMs ?? 0) > timeoutMs + 2_000 ? [`${durationMs} ms`] : []),
  ...((responseBody?.length ?? 0) > 4_096 ? ["more than 4 KiB"] : []),
];

test(`${fuzzRuns} random answers: each ends in one result, nothing dies and nothing is kept`, async () => {
  const random = randomOf(seed);
  const server = await startRaw((socket) => {
    // What is left of a connection's answers is of no use to anybody.
    server.connections.length = 0;
    socket.on("data", () => answer(socket, random));
  });
  const clients = testClients();
  const wrong: string[] = [];
  const seen = new Map<string, number>();
  let begun = 0;
  const some = async (until: number): Promise<void> => {
    const one = async (): Promise<void> => {
      while (begun < until) {
        begun += 1;
        const result = await attempt(clients, server.url, { timeoutMs });
        wrong.push(...problems(result));
        const word = result.errorCode ?? result.outcome;
        seen.set(word, (seen.get(word) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, one));
  };
  const startedMs = performance.now();
  await some(Math.ceil(fuzzRuns / 10));
  const before = bytesUsed();
  await some(fuzzRuns);
  await clients.close();
  const grownKib = Math.round((bytesUsed() - before) / 1_024);
  const seconds = Math.round((performance.now() - startedMs) / 100) / 10;
  console.log(
    `${fuzzRuns} answers, seed ${seed}, ${seconds} s, ${grownKib} KiB more than after a tenth:`,
    seen,
  );
  await server.close();
  expect(wrong.slice(0, 10)).toEqual([]);
  expect(begun).toBe(fuzzRuns);
  expect(grownKib).toBeLessThan(8 * 1_024);
  for (const word of [
    "delivered",
    "body_incomplete",
    "protocol_error",
    "connect_error",
    "timed_out",
    "http_error",
  ])
    expect(seen.get(word) ?? 0, word).toBeGreaterThan(0);
}, 300_000);
