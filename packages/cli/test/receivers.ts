// A receiver that does all that is asked of one, and the ways to break it.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { callStatuses } from "@sendoff/contract";

/** One way in which a receiver is wrong. */
export type Way =
  | "refuses unknown events"
  | "refuses unknown fields"
  | "needs the field reason"
  | "takes 0 seconds for no duration"
  | "knows half of the statuses"
  | "needs call fields on every finalized"
  | "needs a link on every recording"
  | "needs session.ended before call.ended"
  | "refuses what comes again"
  | "refuses more than 12 at once"
  | "works before it answers"
  | "cannot store a NUL"
  | "reads 20 KiB"
  | "reads 100 KiB"
  | "checks no signature"
  | "checks no age"
  | "looks at the first signature"
  | "signs parsed JSON"
  | "processes what it refuses"
  | "checks no header"
  | "loses session.finalized"
  | "knows a session once"
  | "processes what comes again"
  | "knows a webhook-id, not an event"
  | "looks, then remembers"
  | "answers with a redirect";

/** A running receiver. */
export interface TestReceiver {
  readonly url: string;
  /** One pair for each time that an event was processed. */
  readonly effects: readonly (readonly [string, string])[];
  close(): Promise<void>;
}

interface Options {
  readonly secret?: string;
  /** The value that `authorization` must have. */
  readonly authorization?: string;
}

const known = new Set(["session.ended", "call.ended", "session.finalized", "recording.ready"]);
const fields = new Set(
  "event sessionId projectId timestamp currentNodeId messagesCount extractedVariables reason callStatus callDuration success recordingUrl".split(
    " ",
  ),
);

/** Starts a receiver on this machine. GET answers its effects as one JSON array. */
export async function startReceiver(way: Way | null, options: Options = {}): Promise<TestReceiver> {
  const is = (one: Way): boolean => way === one;
  const effects: [string, string][] = [];
  const held = new Set<string>();
  const endedSessions = new Set<string>();
  let atOnce = 0;

  const process = async (body: Record<string, unknown>, webhookId: string): Promise<void> => {
    const [sessionId, event] = [String(body.sessionId), String(body.event)];
    if (is("loses session.finalized") && event === "session.finalized") return;
    const key = is("knows a session once")
      ? sessionId
      : is("knows a webhook-id, not an event")
        ? webhookId
        : `${sessionId} ${event}`;
    if (held.has(key) && !is("processes what comes again")) return;
    if (is("looks, then remembers")) await sleep(20);
    held.add(key);
    effects.push([sessionId, event]);
  };

  const handle = async (raw: string, headers: IncomingHttpHeaders): Promise<number> => {
    if (is("answers with a redirect")) return 302;
    const max = is("reads 20 KiB") ? 20_480 : is("reads 100 KiB") ? 102_400 : 1_048_576;
    if (Buffer.byteLength(raw) > max) return 413;
    const body = JSON.parse(raw) as Record<string, unknown>;
    const webhookId = String(headers["webhook-id"]);
    const trusted = is("checks no header") || headers.authorization === options.authorization;
    if (!trusted || !isSigned(raw, body, headers, options.secret)) {
      if (is("processes what it refuses")) await process(body, webhookId);
      return 401;
    }
    const event = String(body.event);
    if (!known.has(event)) return is("refuses unknown events") ? 400 : 200;
    const refusal = refusalOf(body, event);
    if (refusal !== null) return refusal;
    if (is("needs session.ended before call.ended")) {
      if (event === "session.ended") endedSessions.add(String(body.sessionId));
      if (event === "call.ended" && !endedSessions.has(String(body.sessionId))) return 409;
    }
    if (is("refuses what comes again") && held.has(`${body.sessionId} ${event}`)) return 409;
    if (is("works before it answers") && event === "session.finalized") await sleep(500);
    await process(body, webhookId);
    return 200;
  };

  const refusalOf = (body: Record<string, unknown>, event: string): number | null => {
    const wrong =
      (is("refuses unknown fields") && Object.keys(body).some((name) => !fields.has(name))) ||
      (is("needs the field reason") && event === "session.ended" && body.reason !== "session_ended") ||
      (is("takes 0 seconds for no duration") && event === "call.ended" && !body.callDuration) ||
      (is("knows half of the statuses") &&
        callStatuses.slice(9).some((status) => status === body.callStatus)) ||
      (is("needs call fields on every finalized") &&
        event === "session.finalized" &&
        !("callStatus" in body)) ||
      (is("needs a link on every recording") && event === "recording.ready" && !body.recordingUrl) ||
      (is("cannot store a NUL") && JSON.stringify(body.extractedVariables)?.includes("\\u0000"));
    return wrong ? 422 : null;
  };

  const isSigned = (
    raw: string,
    body: unknown,
    headers: IncomingHttpHeaders,
    secret: string | undefined,
  ): boolean => {
    if (secret === undefined || is("checks no signature")) return true;
    const at = String(headers["webhook-timestamp"]);
    if (!is("checks no age") && Math.abs(Date.now() / 1_000 - Number(at)) > 300) return false;
    const content = is("signs parsed JSON") ? JSON.stringify(body) : raw;
    const hmac = createHmac("sha256", Buffer.from(secret.slice(6), "base64"));
    const expected = hmac.update(`${headers["webhook-id"]}.${at}.${content}`).digest();
    const all = String(headers["webhook-signature"] ?? "").split(" ");
    return (is("looks at the first signature") ? all.slice(0, 1) : all).some((signature) => {
      const given = Buffer.from(signature.slice(3), "base64");
      return given.length === expected.length && timingSafeEqual(given, expected);
    });
  };

  const server = createServer(async (request, response) => {
    if (request.method === "GET") {
      response.end(JSON.stringify(effects));
      return;
    }
    atOnce += 1;
    try {
      const raw = Buffer.concat(await request.toArray()).toString("utf8");
      if (is("refuses more than 12 at once")) await sleep(5);
      const status =
        is("refuses more than 12 at once") && atOnce > 12 ? 503 : await handle(raw, request.headers);
      response.writeHead(status, status === 302 ? { location: "/elsewhere" } : {}).end();
    } finally {
      atOnce -= 1;
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    effects,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
