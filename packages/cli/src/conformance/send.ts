import { type Answered, eventHeaders, type OwnHeaders, type Poster } from "../send/post.ts";
import { newSecret } from "../send/signature.ts";
import type { PlannedPost, PlannedSession } from "./plan.ts";

/** A POST with what came of it. */
export interface Sent {
  readonly post: PlannedPost;
  readonly answer: Answered;
}

/** How the receiver knows its sender. */
export interface Proofs {
  readonly secret: string | null;
  readonly headers: OwnHeaders;
}

/** So many sessions of a phase are played at once. */
const sessionsAtOnce = 8;
const tenMinutes = 600;

/**
 * Plays the sessions, phase by phase.
 *
 * @param onSent told after each answer.
 */
export async function sendAll(
  sessions: readonly PlannedSession[],
  poster: Poster,
  proofs: Proofs,
  onSent: (sent: Sent) => void,
): Promise<void> {
  const otherSecret = newSecret();
  const playSession = async ({ steps }: PlannedSession): Promise<void> => {
    for (const step of steps) {
      await Promise.all(
        step.map(async (post) => {
          const { body, headers } = wireOf(post, proofs, otherSecret);
          onSent({ post, answer: await poster.post(body, headers) });
        }),
      );
    }
  };
  for (const phase of new Set(sessions.map((session) => session.phase))) {
    const waiting = sessions.filter((session) => session.phase === phase);
    const player = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await playSession(next);
    };
    await Promise.all(Array.from({ length: sessionsAtOnce }, player));
  }
}

/** What goes out for a POST: the body, and headers that show its source rightly or, on purpose, wrongly. */
function wireOf(
  post: PlannedPost,
  { secret, headers: own }: Proofs,
  otherSecret: string,
): { body: string; headers: Record<string, string> } {
  const { body, webhookId, proof } = post;
  const right = secret === null ? [] : [secret];
  const base = { webhookId, body, secrets: right, own };
  const now = Math.floor(Date.now() / 1_000);
  switch (proof) {
    case "right":
      return { body, headers: eventHeaders(base) };
    case "none":
      return { body, headers: eventHeaders({ ...base, secrets: [] }) };
    case "other-secret":
      return { body, headers: eventHeaders({ ...base, secrets: [otherSecret] }) };
    case "changed-body":
      return { body: body.replace('"timestamp":"2', '"timestamp":"3'), headers: eventHeaders(base) };
    case "old":
      return { body, headers: eventHeaders({ ...base, timestamp: now - tenMinutes }) };
    case "future":
      return { body, headers: eventHeaders({ ...base, timestamp: now + tenMinutes }) };
    case "rotation":
      return { body, headers: eventHeaders({ ...base, secrets: [otherSecret, ...right] }) };
    case "no-headers":
      return { body, headers: eventHeaders({ ...base, own: {} }) };
    case "wrong-headers": {
      const wrong = Object.fromEntries(Object.entries(own).map(([name, value]) => [name, altered(value)]));
      return { body, headers: eventHeaders({ ...base, own: wrong }) };
    }
  }
}

/** As long as the right one: a comparison of lengths alone would not be seen otherwise. */
const altered = (value: string): string =>
  value === "" ? "x" : `${value.slice(0, -1)}${value.endsWith("x") ? "y" : "x"}`;
