import { createHmac, randomBytes } from "node:crypto";

/** A signing secret of the tests. */
export const secret = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
export const otherSecret = `whsec_${Buffer.alloc(32, 8).toString("base64")}`;

export const projectId = "8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20";

export interface Signing {
  readonly secret?: string;
  readonly id?: string;
  /** Seconds since 1970. */
  readonly timestamp?: number;
  /** Replaces or adds headers; null takes one away. */
  readonly headers?: Readonly<Record<string, string | null>>;
}

/** The headers of a signed POST. */
export function signedHeaders(body: string | Uint8Array, signing: Signing = {}): Record<string, string> {
  const id = signing.id ?? `msg_${randomBytes(16).toString("hex")}`;
  const timestamp = signing.timestamp ?? Math.floor(Date.now() / 1_000);
  const key = Buffer.from((signing.secret ?? secret).slice("whsec_".length), "base64");
  const signature = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
  const all: Record<string, string | null> = {
    "content-type": "application/json",
    "webhook-id": id,
    "webhook-timestamp": String(timestamp),
    "webhook-signature": `v1,${signature}`,
    ...signing.headers,
  };
  return Object.fromEntries(
    Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== null),
  );
}

/** A signed POST. */
export const signedRequest = (body: string | Uint8Array, signing: Signing = {}): Request =>
  new Request("http://receiver.test/hook", {
    method: "POST",
    headers: signedHeaders(body, signing),
    body: body as string,
  });

const common = (event: string, sessionId: string): Record<string, unknown> => ({
  event,
  sessionId,
  projectId,
  timestamp: "2026-05-03T08:42:11.512Z",
});

const conversation = { currentNodeId: "start", messagesCount: 3, extractedVariables: { name: "Nancy" } };

/** Realistic bodies of a session's events, by event. */
export const bodies = {
  "session.ended": (sessionId: string) =>
    JSON.stringify({ ...common("session.ended", sessionId), ...conversation, reason: "session_ended" }),
  "call.ended": (sessionId: string) =>
    JSON.stringify({ ...common("call.ended", sessionId), callStatus: "userHangup", callDuration: 78 }),
  "session.finalized": (sessionId: string) =>
    JSON.stringify({
      ...common("session.finalized", sessionId),
      ...conversation,
      callStatus: "userHangup",
      callDuration: 78,
    }),
  "recording.ready": (sessionId: string, recordingUrl = "https://recordings.example.com/a.ogg?expires=1") =>
    JSON.stringify({ ...common("recording.ready", sessionId), success: true, recordingUrl }),
} as const;

/** `session.finalized` of a text session. */
export const textFinalized = (sessionId: string): string =>
  JSON.stringify({ ...common("session.finalized", sessionId), ...conversation });
