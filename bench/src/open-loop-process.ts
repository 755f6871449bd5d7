// Sends requests at a given rate, in a process of its own, each on a connection of its own for as long as it waits.
import { connect, type Socket } from "node:net";
import { spreadOf } from "./figures.ts";
import type { FloodPlan } from "./flood-messages.ts";
import { readMessage, writePost } from "./http-text.ts";
import type { OpenLoopOutcome, OpenLoopPlan } from "./open-loop-messages.ts";
import { msNs, nowNs, sleep } from "./time.ts";

/** A connection, and what it waits for. */
interface Line {
  readonly socket: Socket;
  /** When the request was written; null: none is under way. */
  writtenNs: number | null;
  chunks: Buffer[];
}

/** How long the last answers may take. */
const lastAnswersMs = 30_000;

const idle: Line[] = [];
const open = new Set<Line>();
const acceptedMs: number[] = [];
const refusedMs: number[] = [];
const latenessMs: number[] = [];
const statuses: Record<string, number> = {};
let unanswered = 0;
let unsent = 0;
let underWay = 0;
let withoutRetryAfter = 0;
let mostConnections = 0;

async function run(plan: OpenLoopPlan): Promise<OpenLoopOutcome> {
  const { hostname, port, host } = new URL(plan.origin);
  const offered = Math.round(plan.perSecond * plan.seconds);
  const beganNs = nowNs();
  for (let due = 0; due < offered; ) {
    const dueNs = beganNs + (due * 1e9) / plan.perSecond;
    const lateNs = nowNs() - dueNs;
    if (lateNs < 0) {
      await sleep(1);
      continue;
    }
    latenessMs.push(lateNs / msNs);
    send(requestOf(plan.requests, host, due), hostname, Number(port), plan.connections);
    due += 1;
    // Answers must be read also when the sending is behind.
    if (due % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const end = nowNs() + lastAnswersMs * msNs;
  while (underWay > 0 && nowNs() < end) await sleep(10);
  return {
    offered,
    accepted: acceptedMs.length,
    refused: refusedMs.length,
    unanswered: unanswered + underWay,
    unsent,
    statuses,
    withoutRetryAfter,
    acceptedMs: spreadOf(acceptedMs),
    refusedMs: spreadOf(refusedMs),
    latenessMs: spreadOf(latenessMs),
    mostConnections,
  };
}

function requestOf(requests: FloodPlan["requests"], host: string, number: number): string {
  const request = requests[number % requests.length];
  if (request === undefined) throw new Error("A load needs requests.");
  return writePost(host, request.path.replace("{n}", String(number)), request.headers, request.body);
}

function send(request: string, hostname: string, port: number, connectionsMax: number): void {
  const line = idle.pop();
  if (line !== undefined) {
    underWay += 1;
    write(line, request);
  } else if (open.size < connectionsMax) {
    underWay += 1;
    const opened = openLine(hostname, port);
    opened.socket.once("connect", () => write(opened, request));
  } else {
    unsent += 1;
  }
}

function write(line: Line, request: string): void {
  line.writtenNs = nowNs();
  line.socket.write(request);
}

function openLine(hostname: string, port: number): Line {
  const line: Line = {
    socket: connect({ host: hostname, port, noDelay: true }),
    writtenNs: null,
    chunks: [],
  };
  let connected = false;
  open.add(line);
  mostConnections = Math.max(mostConnections, open.size);
  line.socket.on("connect", () => {
    connected = true;
  });
  line.socket.on("data", (chunk: Buffer) => read(line, chunk));
  line.socket.on("error", () => line.socket.destroy());
  line.socket.on("close", () => {
    open.delete(line);
    const index = idle.indexOf(line);
    if (index >= 0) idle.splice(index, 1);
    if (connected && line.writtenNs === null) return;
    underWay -= 1;
    unanswered += 1;
  });
  return line;
}

function read(line: Line, chunk: Buffer): void {
  if (line.writtenNs === null) return;
  line.chunks.push(chunk);
  const answer = readMessage(line.chunks.length === 1 ? chunk : Buffer.concat(line.chunks));
  if (answer === null) return;
  const tookMs = (nowNs() - line.writtenNs) / msNs;
  line.writtenNs = null;
  line.chunks = [];
  underWay -= 1;
  const status = answer.head.slice(9, 12);
  statuses[status] = (statuses[status] ?? 0) + 1;
  if (status.startsWith("2")) {
    acceptedMs.push(tookMs);
  } else {
    refusedMs.push(tookMs);
    if (!/\r\nretry-after:/i.test(answer.head)) withoutRetryAfter += 1;
  }
  if (/\r\nconnection: *close/i.test(answer.head)) line.socket.destroy();
  else idle.push(line);
}

process.on("message", (plan: OpenLoopPlan) => {
  void run(plan).then((outcome) => process.send?.(outcome));
});
process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => {});
