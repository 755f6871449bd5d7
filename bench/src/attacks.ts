import { connect } from "node:net";
import { Pool } from "undici";
import type { AttackPlan } from "./attack.ts";

/** What an attack works with. */
interface Attacking {
  readonly plan: AttackPlan;
  /** Notes the status of an answer; 0 when the connection was ended without one. */
  note(status: number): void;
  isEnded(): boolean;
}

interface AttackKind {
  /** What is done, as a sentence for the table. */
  readonly sentence: string;
  run(attacking: Attacking): void;
}

interface Asked {
  readonly method: "GET" | "POST" | "PUT";
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

const mebibyte = 1_048_576;
/** A server that refuses at once would keep the attacking process busy with nothing but refusals, in milliseconds. */
const pauseAfterRefusalMs = 5;

/** So many loops that send a request and wait for its answer. */
function loop({ plan, note, isEnded }: Attacking, loops: number, next: (number: number) => Asked): void {
  const pool = new Pool(plan.origin, { connections: loops, pipelining: 1, headersTimeout: 60_000 });
  let number = 0;
  const one = async (): Promise<void> => {
    while (!isEnded()) {
      let status = 0;
      try {
        const answer = await pool.request(next(number++));
        status = answer.statusCode;
        await answer.body.dump();
      } catch {
        // The connection was ended: that is an answer, too.
      }
      note(status);
      if (status === 0 || status >= 400) {
        await new Promise((resolve) => setTimeout(resolve, pauseAfterRefusalMs));
      }
    }
  };
  for (let index = 0; index < loops; index += 1) void one();
}

/** So many connections that send these bytes and then neither read nor send; one that is ended is opened again. */
function hold({ plan, note, isEnded }: Attacking, connections: number, bytes: string): void {
  const { hostname, port } = new URL(plan.origin);
  const one = (): void => {
    if (isEnded()) return;
    const socket = connect(Number(port), hostname);
    socket.on("connect", () => {
      if (bytes !== "") socket.write(bytes);
      socket.pause();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      note(0);
      setTimeout(one, 50);
    });
  };
  for (let index = 0; index < connections; index += 1) one();
}

const json = (plan: AttackPlan): Record<string, string> => ({
  authorization: `Bearer ${plan.projectKey}`,
  "content-type": "application/json",
});

const emptyObjects = `[${"{},".repeat(mebibyte / 3 - 2)}{}]`;
const longName = `{"${"n".repeat(mebibyte - 8)}":1}`;
const angles = "<".repeat(mebibyte);
const zeros = Buffer.alloc(4 * mebibyte);

const reports = (round: number): string =>
  JSON.stringify(
    Array.from({ length: 1_000 }, (_, index) => ({
      type: "call-ended",
      sessionId: `attack-${process.pid}-${round}-${index}`,
      callStatus: "userHangup",
      callDuration: 1,
    })),
  );

/** What one stranger, key or project does to the others. */
export const attacks = {
  "sign-in bodies": {
    sentence: "a stranger sends 1 MiB of [{},{},...] to the sign-in, 16 connections",
    run: (attacking) =>
      loop(attacking, 16, () => ({
        method: "POST",
        path: "/dashboard/session",
        headers: { "content-type": "application/json" },
        body: emptyObjects,
      })),
  },
  "long names": {
    sentence: "a key sends reports with a name of 1 MiB, 8 connections",
    run: (attacking) =>
      loop(attacking, 8, () => ({
        method: "POST",
        path: `/v1/projects/${attacking.plan.projectId}/reports`,
        headers: json(attacking.plan),
        body: longName,
      })),
  },
  "report flood": {
    sentence: "a key sends 1,000 reports a request, 24 connections",
    run: (attacking) =>
      loop(attacking, 24, (number) => ({
        method: "POST",
        path: `/v1/projects/${attacking.plan.projectId}/reports`,
        headers: json(attacking.plan),
        body: reports(number),
      })),
  },
  "unread lists": {
    sentence: "a key asks for lists of 500 sessions of 200 KB and reads none, 64 connections",
    run: (attacking) =>
      hold(
        attacking,
        64,
        `GET /v1/projects/${attacking.plan.projectId}/sessions?limit=500 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${attacking.plan.projectKey}\r\n\r\n`.repeat(
          4,
        ),
      ),
  },
  searches: {
    sentence: "a key searches for text that is nowhere, 64 connections",
    run: (attacking) =>
      loop(attacking, 64, (number) => ({
        method: "GET",
        path: `/v1/projects/${attacking.plan.projectId}/sessions?text=nowhere-${number}`,
        headers: json(attacking.plan),
      })),
  },
  "zeros as audio": {
    sentence: "a key uploads 4 MiB of zeros as MP3, 62 connections",
    run: (attacking) =>
      loop(attacking, 62, (number) => ({
        method: "PUT",
        path: `/v1/projects/${attacking.plan.projectId}/sessions/zeros-${process.pid}-${number}/recording`,
        headers: { ...json(attacking.plan), "content-type": "audio/mpeg" },
        body: zeros,
      })),
  },
  inspector: {
    sentence: "somebody posts 1 MiB of < to an inspector and looks at its page, 16 connections",
    run: (attacking) =>
      loop(attacking, 16, (number) => ({
        method: number % 8 === 7 ? "GET" : "POST",
        path: new URL(attacking.plan.inspectorUrl).pathname,
        ...(number % 8 === 7 ? {} : { headers: { "content-type": "text/plain" }, body: angles }),
      })),
  },
  "idle connections": {
    sentence: "a stranger opens 5,000 connections and says nothing",
    run: (attacking) => hold(attacking, 5_000, ""),
  },
  "wrong keys": {
    sentence: "a stranger tries keys, 64 connections",
    run: (attacking) =>
      loop(attacking, 64, (number) => ({
        method: "GET",
        path: `/v1/projects/${attacking.plan.projectId}/sessions`,
        headers: { authorization: `Bearer sk_${String(number).padStart(43, "x")}` },
      })),
  },
} as const satisfies Record<string, AttackKind>;

export type AttackName = keyof typeof attacks;
