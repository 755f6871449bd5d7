import type { CommandKind, Features } from "./history.ts";
import type { Random } from "./random.ts";

/** One command of a plan: what is sent, and when. */
export interface Step {
  readonly kind: CommandKind;
  readonly body: Readonly<Record<string, unknown>>;
  /** After the session's start. */
  readonly atMs: number;
  /** Sent in a POST /reports together with reports of other sessions. */
  readonly bulk: boolean;
  /** Sent only after the commands before it have their results. */
  readonly afterOthers: boolean;
}

/** What a runtime will report of one session. */
export interface Plan {
  readonly name: string;
  readonly steps: readonly Step[];
}

const statuses = ["userHangup", "agentHangup", "transferred", "voicemail", "errorTransferred", "Ended"];

interface Draft {
  kind: CommandKind;
  body: Record<string, unknown>;
  atMs: number;
  afterOthers?: boolean;
}

/**
 * The contents are marked, so that the checker can tell reports from what Sendoff puts in their place: a report never
 * names the node `start` or a node `progress-…`, and never the call status `unknown`.
 */
const conversation = (random: Random, channel: string, mark: string): Record<string, unknown> => ({
  channel,
  currentNodeId: `node-${mark}`,
  messagesCount: random.int(1, 40),
  extractedVariables: { name: "Nancy", turn: random.int(0, 999), nested: { list: [1, "zwei", null] } },
});

const call = (random: Random): Record<string, unknown> => ({
  callStatus: random.pick(statuses),
  callDuration: random.int(1, 600),
});

/** How long before a deadline's end the rig's sessions may take; the late reports come after it. */
export interface PlanTimes {
  readonly lateMs: number;
}

type Draw = (random: Random, projectId: string, times: PlanTimes) => Draft[];

const conversationEnded = (random: Random, channel: string, atMs: number, mark = "a"): Draft => ({
  kind: "conversation-ended",
  body: conversation(random, channel, mark),
  atMs,
});
const callEnded = (random: Random, atMs: number): Draft => ({
  kind: "call-ended",
  body: call(random),
  atMs,
});
const recording = (random: Random, projectId: string, atMs: number): Draft => ({
  kind: "recording-processed",
  atMs,
  body: random.chance(0.75)
    ? { success: true, objectKey: `projects/${projectId}/audio.ogg` }
    : { success: false, error: "the recorder lost its stream" },
});

/** Both ends of a call, in either order or at the same instant. */
function bothEnds(random: Random): Draft[] {
  const gap = random.pick([0, 0, random.int(1, 30), random.int(30, 800)]);
  const ends = [conversationEnded(random, "call", 0), callEnded(random, 0)];
  const first = random.int(0, 1);
  return ends.map((end, index) => ({ ...end, atMs: index === first ? 0 : gap }));
}

const drawers: Record<string, { weight: number; draw: Draw; needs?: keyof Features }> = {
  text: { weight: 4, draw: (random) => [conversationEnded(random, "text", 0)] },
  call: { weight: 8, draw: (random) => bothEnds(random) },
  recorded: {
    weight: 6,
    draw: (random, project) => [...bothEnds(random), recording(random, project, random.int(0, 1_500))],
  },
  created: {
    weight: 2,
    draw: (random) => {
      const channel = random.pick(["text", "call"]);
      const body = { channel, variables: { campaign: random.int(1, 9) }, startNodeId: "start" };
      const ends = channel === "call" ? bothEnds(random) : [conversationEnded(random, "text", 0)];
      return [{ kind: "created", body, atMs: 0 }, ...ends.map((end) => ({ ...end, atMs: end.atMs + 200 }))];
    },
  },
  nobodySpoke: {
    weight: 2,
    draw: () => [
      {
        kind: "call-ended",
        body: { callStatus: "userNoAnswer", callDuration: 0, conversation: "none" },
        atMs: 0,
      },
    ],
  },
  // The same from several clients at once, and once more later.
  repeated: {
    weight: 4,
    draw: (random) => {
      const ends = bothEnds(random);
      const again = ends.map((end) => ({ ...end, atMs: end.atMs + random.int(500, 3_000) }));
      return [...ends, ...ends, ...ends, ...again];
    },
  },
  contradicted: {
    weight: 3,
    draw: (random) => {
      const gap = random.pick([0, 0, random.int(1, 50), 1_000]);
      const other = random.chance(0.5)
        ? conversationEnded(random, "call", gap, "b")
        : { ...callEnded(random, gap), body: { callStatus: "sipTrunkFailure", callDuration: 0 } };
      return [...bothEnds(random), other];
    },
  },
  // A text session has no call: that report is refused, and the first stands.
  wrongChannel: {
    weight: 1,
    draw: (random) => [
      conversationEnded(random, "text", 0),
      { ...callEnded(random, 100), afterOthers: true },
    ],
  },
  noConversationEnd: {
    weight: 2,
    needs: "deadlines",
    draw: (random) => [
      ...(random.chance(0.5)
        ? [{ kind: "progress" as const, body: { currentNodeId: "progress-1", messagesCount: 2 }, atMs: 0 }]
        : []),
      callEnded(random, 100),
    ],
  },
  noCallEnd: { weight: 2, needs: "deadlines", draw: (random) => [conversationEnded(random, "call", 0)] },
  lateReport: {
    weight: 1,
    needs: "deadlines",
    draw: (random, _project, { lateMs }) =>
      random.chance(0.5)
        ? [callEnded(random, 0), conversationEnded(random, "call", lateMs)]
        : [conversationEnded(random, "call", 0), callEnded(random, lateMs)],
  },
  abandoned: {
    weight: 1,
    needs: "deadlines",
    draw: (random) => [{ kind: "created", body: { channel: random.pick(["text", "call"]) }, atMs: 0 }],
  },
};

/** Draws what is reported of a session. */
export function drawPlan(random: Random, projectId: string, features: Features, times: PlanTimes): Plan {
  const possible = Object.entries(drawers).filter(
    ([, drawer]) => drawer.needs === undefined || features[drawer.needs],
  );
  const [name, drawer] = random.weighted(possible.map((entry) => [entry, entry[1].weight] as const));
  const steps = drawer.draw(random, projectId, times).map((step) => ({
    ...step,
    afterOthers: step.afterOthers ?? false,
    bulk: step.kind !== "created" && step.kind !== "progress" && random.chance(0.2),
  }));
  return { name, steps };
}
