import type { CallStatus, Channel, EventName } from "./events.ts";

/**
 * What the body of an event is made from. `variables` is JSON text, not an object: the payload must carry what the
 * runtime sent, and JavaScript's numbers and objects cannot hold all of it (2^53+1, 1e400, `__proto__`).
 */
export interface PayloadFacts {
  readonly projectId: string;
  readonly sessionId: string;
  readonly channel: Channel | null;
  readonly currentNodeId: string;
  readonly messagesCount: number;
  /** `extractedVariables` as compact JSON text of an object. */
  readonly variables: string;
  readonly callStatus: CallStatus | null;
  /** Seconds. */
  readonly callDuration: number | null;
  readonly recordingSuccess: boolean | null;
}

type Member = readonly [name: string, json: string];

const text = (value: string): string => JSON.stringify(value);

const conversation = (facts: PayloadFacts): Member[] => [
  ["currentNodeId", text(facts.currentNodeId)],
  ["messagesCount", String(facts.messagesCount)],
  ["extractedVariables", facts.variables],
];

const call = (facts: PayloadFacts): Member[] =>
  facts.callStatus === null || facts.callDuration === null
    ? []
    : [
        ["callStatus", text(facts.callStatus)],
        ["callDuration", JSON.stringify(facts.callDuration)],
      ];

const project = (facts: PayloadFacts): Member => ["projectId", text(facts.projectId)];

/** Field order is the seeds' (behaviour, section 2): clients have been seen to depend on it. */
const members: Record<EventName, (facts: PayloadFacts, timestamp: Member) => Member[]> = {
  "session.started": (facts, timestamp) => [
    project(facts),
    timestamp,
    ["channel", text(facts.channel ?? "text")],
  ],
  "session.ended": (facts, timestamp) => [timestamp, ...conversation(facts), ["reason", '"session_ended"']],
  "call.ended": (facts, timestamp) => [project(facts), timestamp, ...call(facts)],
  "session.finalized": (facts, timestamp) => [
    project(facts),
    timestamp,
    ...conversation(facts),
    ...call(facts),
  ],
  "recording.ready": (facts, timestamp) => [
    project(facts),
    timestamp,
    ["success", String(facts.recordingSuccess === true)],
  ],
};

/**
 * The body of one event, as the text that is stored, signed and sent.
 *
 * The `recordingUrl` of a successful `recording.ready` is not in it: it is minted at each attempt and put in by
 * {@link withRecordingUrl}.
 *
 * @param emittedAt the moment of emission; written with milliseconds and `Z`.
 */
export function payloadText(event: EventName, facts: PayloadFacts, emittedAt: Date): string {
  const all: Member[] = [
    ["event", text(event)],
    ["sessionId", text(facts.sessionId)],
    ...members[event](facts, ["timestamp", text(emittedAt.toISOString())]),
  ];
  return `{${all.map(([name, json]) => `"${name}":${json}`).join(",")}}`;
}

/** The stored body of a successful `recording.ready` with the link of this attempt as its last field. */
export function withRecordingUrl(payload: string, recordingUrl: string): string {
  return `${payload.slice(0, -1)},"recordingUrl":${text(recordingUrl)}}`;
}
