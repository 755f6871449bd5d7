import { callStatuses, type PayloadFacts, payloadText, withRecordingUrl } from "@sendoff/contract";
import { oddVariables, variablesOf } from "./odd.ts";
import type { RuleId } from "./rules.ts";

/** How a POST shows where it comes from. `right` is what the options say. */
type Proof =
  | "right"
  | "none"
  | "other-secret"
  | "changed-body"
  | "old"
  | "future"
  | "rotation"
  | "no-headers"
  | "wrong-headers";

/** One POST of a check. */
export interface PlannedPost {
  /** The rule that its answer is held to. */
  readonly rule: RuleId;
  /** What is special, for a finding. */
  readonly label: string;
  readonly sessionId: string;
  readonly event: string;
  readonly body: string;
  readonly proof: Proof;
  /** The same on a POST that repeats another one as Sendoff does it. */
  readonly webhookId: string;
  /** Whether the receiver is to do anything with it. */
  readonly hasEffect: boolean;
}

/** The POSTs of one session: steps one after another, those of a step at once. */
export interface PlannedSession {
  /** Sessions of a later phase begin when all of an earlier one have ended. */
  readonly phase: number;
  readonly steps: readonly (readonly PlannedPost[])[];
}

/** What a plan is made for. */
export interface PlanOptions {
  /** Begins the ids of all sessions. */
  readonly run: string;
  readonly at: Date;
  readonly signed: boolean;
  readonly hasHeaders: boolean;
  readonly newWebhookId: () => string;
}

type Known = "session.ended" | "call.ended" | "session.finalized" | "recording.ready";

const projectId = "8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20";
const natural: readonly Known[] = ["session.ended", "call.ended", "session.finalized", "recording.ready"];
const withoutTraffic = ["busy", "userNoAnswer", "invalidNumber"] as const;

/** `session.finalized` is last among its three; `recording.ready` stands anywhere. Source: seed, "Ordering". */
const legalOrders: readonly (readonly Known[])[] = [
  ["session.ended", "call.ended"],
  ["call.ended", "session.ended"],
].flatMap((ends) =>
  [0, 1, 2, 3].map(
    (place) => [...ends, "session.finalized"].toSpliced(place, 0, "recording.ready") as Known[],
  ),
);

/** Every POST of a check, as data. */
export function planCheck(options: PlanOptions): PlannedSession[] {
  const plan = new Planner(options);
  plan.call("whole-session", "");
  plan.nextPhase();
  for (const callStatus of callStatuses) {
    if (!withoutTraffic.some((status) => status === callStatus)) {
      plan.call("call-statuses", callStatus, { callStatus }, ["call.ended", "session.finalized"]);
    }
  }
  for (const callStatus of withoutTraffic) {
    const facts = { callStatus, callDuration: 0 };
    plan.call("no-traffic", `${callStatus}, 0 s`, facts, ["call.ended", "session.finalized"]);
  }
  plan.text();
  plan.call("recording-failed", "success false", { recordingSuccess: false }, ["recording.ready"]);
  plan.unknownEvent();
  plan.changed("unknown-field", "with an unknown field", natural, (body) =>
    body.replace(/\}$/, ',"sendoffCheck":{"aNewField":[1,null,"text"]}}'),
  );
  plan.changed("without-reason", "without reason", ["session.ended"], (body) =>
    body.replace(',"reason":"session_ended"', ""),
  );
  for (const order of legalOrders) plan.ordered(order);
  plan.repeated();
  plan.nextPhase();
  plan.burst(32);
  plan.nextPhase();
  for (const [label, variables] of oddVariables) {
    plan.call("odd-variables", label, { variables }, ["session.ended", "session.finalized"]);
  }
  for (const [rule, bytes] of [
    ["large", 64],
    ["huge", 256],
  ] as const) {
    // A few bytes less: the names around the variables count too.
    const variables = variablesOf(bytes * 1_024 - 1_024);
    plan.call(rule, `${bytes} KiB`, { variables }, ["session.ended", "session.finalized"]);
  }
  plan.proofs();
  plan.nextPhase();
  plan.call("alive", "");
  return plan.sessions;
}

class Planner {
  readonly sessions: PlannedSession[] = [];
  readonly #options: PlanOptions;
  #phase = 0;
  #count = 0;

  constructor(options: PlanOptions) {
    this.#options = options;
  }

  nextPhase(): void {
    this.#phase += 1;
  }

  /** A whole call in its natural order; `events` are held to the rule, the others to that of a whole session. */
  call(rule: RuleId, label: string, facts: Partial<PayloadFacts> = {}, events = natural): void {
    const own = this.#facts(facts);
    this.#add(
      natural.map((event) => [
        this.#post(events.includes(event) ? rule : "whole-session", label, event, own),
      ]),
    );
  }

  text(): void {
    const facts = this.#facts({
      channel: "text",
      callStatus: null,
      callDuration: null,
      recordingSuccess: null,
    });
    const ended = this.#post("text-session", "a text session", "session.ended", facts);
    this.#add([[ended], [this.#post("text-session", "a text session", "session.finalized", facts)]]);
  }

  unknownEvent(): void {
    const { sessionId } = this.#facts();
    const head = `"sessionId":"${sessionId}","projectId":"${projectId}","timestamp":"${this.#options.at.toISOString()}"`;
    const post = (event: string): PlannedPost => ({
      rule: "unknown-event",
      label: "",
      sessionId,
      event,
      body: `{"event":"${event}",${head},"detail":{"level":3}}`,
      proof: "right",
      webhookId: this.#options.newWebhookId(),
      hasEffect: false,
    });
    this.#add([[post("session.escalated")], [post("agent.updated")]]);
  }

  changed(rule: RuleId, label: string, events: readonly Known[], change: (body: string) => string): void {
    const facts = this.#facts();
    this.#add(
      natural.map((event) => {
        if (!events.includes(event)) return [this.#post("whole-session", label, event, facts)];
        const post = this.#post(rule, label, event, facts);
        return [{ ...post, body: change(post.body) }];
      }),
    );
  }

  ordered(order: readonly Known[]): void {
    const facts = this.#facts();
    const label = `in the order ${order.join(", ")}`;
    this.#add(order.map((event) => [this.#post("orders", label, event, facts)]));
  }

  /** The same POST again, at once, and emitted anew: with another webhook-id and timestamp. */
  repeated(): void {
    const again = this.#facts();
    const steps = natural.map((event) => this.#post("whole-session", "", event, again));
    this.#add([...steps, ...steps.map((post) => this.#again(post, "sent again"))].map((post) => [post]));

    const atOnce = this.#facts();
    this.#add(
      natural.map((event) => {
        const post = this.#post("duplicates", "sent three times at once", event, atOnce);
        return [post, post, post];
      }),
    );

    const anew = this.#facts();
    const first = natural.map((event) => this.#post("whole-session", "", event, anew));
    const later = new Date(this.#options.at.getTime() + 60_000);
    const second = first
      .filter(({ event }) => event !== "session.finalized")
      .map((post) => ({
        ...this.#again(post, "emitted again, with another webhook-id and timestamp"),
        body: post.body.replace(this.#options.at.toISOString(), later.toISOString()),
        webhookId: this.#options.newWebhookId(),
      }));
    this.#add([...first, ...second].map((post) => [post]));
  }

  burst(sessions: number): void {
    const posts = Array.from({ length: sessions }, () => this.#facts()).map((facts) =>
      this.#post("burst", `${sessions} at once`, "session.ended", facts),
    );
    this.#add([posts]);
  }

  /** What shows its source wrongly, and what shows it rightly in an unusual way. */
  proofs(): void {
    const { signed, hasHeaders } = this.#options;
    const one = (rule: RuleId, proof: Proof, label: string, accepted = false): void => {
      const facts = this.#facts();
      this.#add(
        natural.map((event) => [{ ...this.#post(rule, label, event, facts), proof, hasEffect: accepted }]),
      );
    };
    if (signed) {
      one("signature", "none", "without a signature");
      one("signature", "other-secret", "signed with another secret");
      one("signature", "changed-body", "changed after it was signed");
      one("signature-age", "old", "signed 10 minutes ago");
      one("signature-age", "future", "signed 10 minutes ahead");
      one("signature-rotation", "rotation", "signed with another secret and with the right one", true);
      this.changed("raw-bytes", "written in an unusual way", ["session.ended", "session.finalized"], (body) =>
        body
          .replace(/"messagesCount":\d+/, '"messagesCount": 8.0')
          .replace(/"extractedVariables":\{[^}]*\}/, '"extractedVariables": {"n":1.50,"name":"Zo\\u00eb"}'),
      );
    }
    if (hasHeaders) {
      one("source", "no-headers", "without the header");
      one("source", "wrong-headers", "with another value of the header");
    }
  }

  #again(post: PlannedPost, label: string): PlannedPost {
    return { ...post, rule: "duplicates", label };
  }

  #facts(facts: Partial<PayloadFacts> = {}): PayloadFacts {
    this.#count += 1;
    return {
      projectId,
      sessionId: `${this.#options.run}-${this.#count}`,
      channel: "call",
      currentNodeId: "ask_intention",
      messagesCount: 8,
      variables: '{"name":"Nancy","intention":"book a demo"}',
      callStatus: "userHangup",
      callDuration: 78,
      recordingSuccess: true,
      ...facts,
    };
  }

  #post(rule: RuleId, label: string, event: Known, facts: PayloadFacts): PlannedPost {
    const text = payloadText(event, facts, this.#options.at);
    const link = `https://recordings.example.com/recordings/projects/${projectId}/sessions/${facts.sessionId}/audio.ogg?expires=1777798650&signature=c2ln`;
    const isRecorded = event === "recording.ready" && facts.recordingSuccess === true;
    return {
      rule,
      label,
      sessionId: facts.sessionId,
      event,
      body: isRecorded ? withRecordingUrl(text, link) : text,
      proof: "right",
      webhookId: this.#options.newWebhookId(),
      // Whether there is anything to do about a recording that failed is the receiver's own choice.
      hasEffect: event !== "recording.ready" || isRecorded,
    };
  }

  #add(steps: readonly (readonly PlannedPost[])[]): void {
    this.sessions.push({ phase: this.#phase, steps });
  }
}
