import { createHash } from "node:crypto";
import { isKnownEvent, requiredFields, type UnknownPayload } from "./payloads.ts";
import { Refused } from "./refused.ts";
import type { HeaderReader } from "./verify.ts";

/** An event that was verified and read. */
export interface Arrived {
  /** The session's id as a store keeps it: the id itself, or its digest when it is too long or no plain text. */
  readonly session: string;
  /** What the event is told apart by within its session: its name, and for one of several recordings that one's id. */
  readonly event: string;
  /** The body as text, byte for byte. */
  readonly body: string;
  /** Digest of the body without what differs from attempt to attempt. Two bodies of one event must have the same. */
  readonly digest: string;
  /** `webhook-id`; empty from a sender that has none. */
  readonly webhookId: string;
  /** The same for every delivery of the event, and no other event's. */
  readonly key: string;
  readonly payload: UnknownPayload;
}

const sessionCharactersMax = 256;
const eventCharactersMax = 128;
// A byte order mark must not vanish: JSON has none, and the text must be the bytes.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads a body that was verified.
 *
 * @throws Refused for what is no event: not UTF-8, not JSON, no `event`, or a known event without its session.
 */
export function readEvent(bytes: Uint8Array, header: HeaderReader): Arrived {
  const body = textOf(bytes);
  const payload = objectOf(body);
  const { event, sessionId } = payload;
  if (typeof event !== "string" || event === "" || event.length > eventCharactersMax) {
    throw new Refused("payload_wrong", `expected a field event with 1 to ${eventCharactersMax} characters`);
  }
  if (isKnownEvent(event)) {
    for (const [field, type] of Object.entries(requiredFields[event])) {
      if (typeof payload[field] !== type || payload[field] === "") {
        throw new Refused("payload_wrong", `expected ${event} to have a ${type} in its field ${field}`);
      }
    }
  }
  const webhookId = header("webhook-id") ?? "";
  const isRecording = event === "recording.ready";
  const link = isRecording ? payload.recordingUrl : undefined;
  // A session of two legs may have two recordings. Sendoff sends one without an id (hostile cases, V22).
  const part = isRecording && typeof payload.recordingId === "string" ? payload.recordingId : "";
  const within = part === "" ? keyText(event) : `${event} ${digestOf(part)}`;
  // An event of tomorrow may have no session: then it is told apart by its id, or else by its content.
  const session = typeof sessionId === "string" ? keyText(sessionId) : `@${digestOf(webhookId || body)}`;
  return {
    session,
    event: within,
    body,
    digest: digestOf(typeof link === "string" ? body.replace(JSON.stringify(link), "") : body),
    webhookId: webhookId.slice(0, sessionCharactersMax),
    key: idempotencyKey(session, within),
    payload: payload as UnknownPayload,
  };
}

/** What an event is told apart by, in 32 characters of hex. */
export const idempotencyKey = (session: string, event: string): string =>
  digestOf(`${session}\n${event}`).slice(0, 32);

function textOf(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw new Refused("body_not_utf8", "expected the body to be UTF-8", { cause: error });
  }
}

function objectOf(body: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (error) {
    throw new Refused("body_not_json", "expected the body to be JSON", { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Refused("body_not_json", "expected the body to be a JSON object");
  }
  return value as Record<string, unknown>;
}

const digestOf = (text: string): string => createHash("sha256").update(text).digest("hex");

/** No store has to hold what its database cannot: a NUL, half of a surrogate pair, a text without end. */
const keyText = (text: string): string =>
  text.length <= sessionCharactersMax && /^[ -~]*$/.test(text) && !/^[@#]/.test(text)
    ? text
    : `#${digestOf(text)}`;
