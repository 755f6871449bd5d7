/** Ids of what a receiver is held to, in the order of the report. */
export const ruleIds = [
  "whole-session",
  "call-statuses",
  "no-traffic",
  "text-session",
  "recording-failed",
  "unknown-event",
  "unknown-field",
  "without-reason",
  "orders",
  "duplicates",
  "burst",
  "fast",
  "odd-variables",
  "large",
  "huge",
  "signature",
  "signature-age",
  "signature-rotation",
  "raw-bytes",
  "source",
  "processed",
  "dedupe",
  "alive",
] as const;
export type RuleId = (typeof ruleIds)[number];

/** What a receiver is held to. */
export interface Rule {
  readonly title: string;
  /** The sentence that asks for it, as it stands in its source. */
  readonly asks: string;
  readonly source: string;
  /** `must`: without it events are lost or forged. `should`: the source leaves it to the receiver. */
  readonly level: "must" | "should";
  /** What to do when it is broken. */
  readonly advice: string;
}

const payloadsPage = "webhook payloads";
const webhooksPage = "post-session webhooks";
const guarantees = "docs/guarantees.md";
const standardWebhooks = "Standard Webhooks";

/** Every rule, with the sentence of the platform's documents ("webhook payloads", "post-session webhooks") or of ours. */
export const rules: Readonly<Record<RuleId, Rule>> = {
  "whole-session": {
    title: "answers every event of a call session with 2xx",
    asks: "Subscribing to more than one event delivers one POST per event per session.",
    source: webhooksPage,
    level: "must",
    advice: "Answer 2xx to each of the four events. A redirect is not followed, and nothing is sent again.",
  },
  "call-statuses": {
    title: "takes each call status",
    asks: "Final domain status. One of userHangup, agentHangup, transferred, voicemail, errorTransferred, busy, userNoAnswer, userRejected, invalidNumber, sipTrunkFailure, agentNoAnswer, error, unknown, Ended.",
    source: payloadsPage,
    level: "must",
    advice: "Take all 14 values, case-sensitive, and best any other string too.",
  },
  "no-traffic": {
    title: "takes a call of 0 seconds",
    asks: "Call duration in seconds. 0 for non-traffic outcomes (busy, no-answer, invalid number).",
    source: payloadsPage,
    level: "must",
    advice: "Test callDuration for its presence, not for its truth: 0 is a duration.",
  },
  "text-session": {
    title: "takes a text session, which has no call fields",
    asks: "For text sessions, the call fields (callStatus, callDuration) are omitted entirely — not set to null.",
    source: payloadsPage,
    level: "must",
    advice: 'Branch on `"callStatus" in payload`.',
  },
  "recording-failed": {
    title: "takes a recording that failed, which has no link",
    asks: "Whether the recording was processed and stored successfully. When false, recordingUrl is omitted.",
    source: payloadsPage,
    level: "must",
    advice: "Look at success before recordingUrl.",
  },
  "unknown-event": {
    title: "accepts and ignores an event that it does not know",
    asks: "Unknown event — accept and ignore so future Pathors event types do not break your receiver.",
    source: payloadsPage,
    level: "must",
    advice: "Answer 2xx to an event that you do not know, and do nothing else.",
  },
  "unknown-field": {
    title: "accepts fields that it does not know",
    asks: "Check the signature, branch on `event`, ignore events and fields that you do not know.",
    source: guarantees,
    level: "must",
    advice: "Let unknown fields pass where the body is validated.",
  },
  "without-reason": {
    title: "does without the deprecated field reason",
    asks: "Legacy alias for event from before multi-event support existed; Will be removed in a future version — new receivers should branch on event.",
    source: payloadsPage,
    level: "must",
    advice: "Do not read reason. Branch on event.",
  },
  orders: {
    title: "takes the events of a session in each legal order",
    asks: "session.ended and call.ended are not strictly ordered with respect to each other in edge cases (e.g. hard hangup before the agent reaches its final node). recording.ready sits outside this order.",
    source: payloadsPage,
    level: "must",
    advice:
      "Take each event for itself, whatever came before. Only session.finalized is last among its three.",
  },
  duplicates: {
    title: "answers an event that comes again with 2xx",
    asks: "The other events (session.ended, call.ended, recording.ready) are emitted per processing step and may be re-delivered (for example on internal retries)",
    source: webhooksPage,
    level: "must",
    advice: "Answer 2xx to what was handled before: any other answer is logged as a failure.",
  },
  burst: {
    title: "answers 32 sessions that end at once",
    asks: "Claims aim at most at 32 attempts in flight per endpoint",
    source: guarantees,
    level: "must",
    advice: "Take 32 requests at once, or lower SENDOFF_ENDPOINT_IN_FLIGHT_MAX.",
  },
  fast: {
    title: "answers fast",
    asks: "Respond fast. Pathors waits for your response synchronously; long-running work belongs in a background job on your side.",
    source: webhooksPage,
    level: "must",
    advice: "Store the event, answer, and work afterwards.",
  },
  "odd-variables": {
    title: "takes odd extracted variables",
    asks: "Variables extracted across the session, keyed by name.",
    source: payloadsPage,
    level: "must",
    advice:
      "Names and values are what callers said: take any JSON, and store what cannot be stored otherwise as text.",
  },
  large: {
    title: "takes a body of 64 KiB",
    asks: "Variables extracted across the session, keyed by name.",
    source: payloadsPage,
    level: "must",
    advice: "Raise the limit on the size of a body.",
  },
  huge: {
    title: "takes variables of 256 KiB, the most that Sendoff lets through",
    asks: "`extractedVariables` (an object, at most 256 KiB, which replaces what progress said).",
    source: "docs/api.md",
    level: "should",
    advice: 'Raise the limit on the size of a body above 300 KiB, such as express.json({ limit: "1mb" }).',
  },
  signature: {
    title: "refuses what is not signed with the secret",
    asks: "Check the signature, branch on `event`, ignore events and fields that you do not know.",
    source: guarantees,
    level: "must",
    advice:
      "Compare the HMAC-SHA256 of `id.timestamp.body` in constant time, and answer 401 before any work.",
  },
  "signature-age": {
    title: "refuses an old or future signature",
    asks: "Make sure to verify the `webhook-timestamp` header has a timestamp that is within some allowable tolerance of the current timestamp to prevent replay attacks.",
    source: standardWebhooks,
    level: "must",
    advice: "Refuse a webhook-timestamp that is more than 5 minutes off.",
  },
  "signature-rotation": {
    title: "accepts one right signature among several",
    asks: "Each POST has a signature of each, newest first, three at most.",
    source: guarantees,
    level: "must",
    advice: "Split webhook-signature at spaces and accept the POST when one of them is right.",
  },
  "raw-bytes": {
    title: "checks the signature on the bytes that came",
    asks: "The body is made at emission and is the same on each attempt.",
    source: guarantees,
    level: "must",
    advice: "Compute the signature over the raw body, not over JSON that was parsed and written again.",
  },
  source: {
    title: "knows who sent the event",
    asks: "Use cases are up to you — e.g. an Authorization token to verify the source, or a routing identifier on a shared receiver.",
    source: webhooksPage,
    level: "should",
    advice: "Check the signature (--secret), or a header of your own (--header), before any work.",
  },
  processed: {
    title: "processes every event that it answered with 2xx",
    asks: "A non-2xx response from your endpoint is logged to webhook_logs but Pathors does not resend.",
    source: webhooksPage,
    level: "must",
    advice: "Answer 2xx only when the event is safe, and tell events apart by sessionId and event together.",
  },
  dedupe: {
    title: "processes an event once, however often it comes",
    asks: "if you need exactly-once handling, dedupe on (sessionId, event).",
    source: webhooksPage,
    level: "should",
    advice: "Keep (sessionId, event) under a unique index, written in the commit of the work.",
  },
  alive: {
    title: "still answers after all of that",
    asks: "If you need at-least-once, ingest from a queue you control.",
    source: webhooksPage,
    level: "must",
    advice: "Let no request end the process.",
  },
};
