import { type Effects, effectKey } from "./effects.ts";
import { type RuleId, ruleIds, rules } from "./rules.ts";
import type { Sent } from "./send.ts";

/**
 * `held`; `broken`: a rule that must hold does not; `lacks`: one that the sources leave to the receiver does not;
 * `unseen`: it could not be seen from outside.
 */
export type Verdict = "held" | "broken" | "lacks" | "unseen";

/** What came of one rule. */
export interface Result {
  readonly rule: RuleId;
  readonly verdict: Verdict;
  /** What was seen, in sentences; for `unseen` why not. */
  readonly findings: readonly string[];
}

/** What is judged. */
export interface Evidence {
  readonly sent: readonly Sent[];
  /** null: the receiver does not tell. */
  readonly effects: Effects | null;
  readonly signed: boolean;
  readonly hasHeaders: boolean;
  /** A slower answer breaks the rule `fast`, in ms. */
  readonly answerWithinMs: number;
}

/** Holds what was answered and processed against each rule. */
export function judge(evidence: Evidence): Result[] {
  return ruleIds.map((rule) => {
    const findings = findingsOf[rule]?.(evidence) ?? answersOf(rule, evidence);
    if ("unseen" in findings) return { rule, verdict: "unseen", findings: [findings.unseen] };
    const verdict = findings.seen.length === 0 ? "held" : rules[rule].level === "must" ? "broken" : "lacks";
    return { rule, verdict, findings: [...new Set(findings.seen)] };
  });
}

type Findings = { readonly seen: readonly string[] } | { readonly unseen: string };

/** Keys of the POSTs that were accepted and are to have an effect. */
export function expectedEffects(sent: readonly Sent[]): Set<string> {
  return new Set(
    sent.filter(({ post, answer }) => post.hasEffect && isAccepted(answer)).map(({ post }) => keyOf(post)),
  );
}

const keyOf = (post: Sent["post"]): string => effectKey(post.sessionId, post.event);
const isAccepted = (answer: Sent["answer"]): boolean =>
  answer.kind === "answered" && answer.status >= 200 && answer.status < 300;
const isUnsent = (answer: Sent["answer"]): boolean => answer.kind === "none" && answer.unsent;

const findingsOf: Partial<Record<RuleId, (evidence: Evidence) => Findings>> = {
  fast,
  huge: (evidence) =>
    isSeen(answersOf("large", evidence))
      ? { unseen: "A smaller body is not taken." }
      : answersOf("huge", evidence),
  signature: (evidence) => proofFindings("signature", evidence, evidence.signed),
  "signature-age": (evidence) =>
    isSeen(findingsOf.signature?.(evidence))
      ? { unseen: "Signatures are not checked at all." }
      : proofFindings("signature-age", evidence, evidence.signed),
  "signature-rotation": signedOnly("signature-rotation"),
  "raw-bytes": signedOnly("raw-bytes"),
  source,
  processed,
  dedupe,
  alive,
};

const isSeen = (findings: Findings | undefined): boolean =>
  findings !== undefined && "seen" in findings && findings.seen.length > 0;

const noSecret = "No secret was given (--secret), so nothing was signed.";

function signedOnly(rule: RuleId): (evidence: Evidence) => Findings {
  return (evidence) => (evidence.signed ? answersOf(rule, evidence) : { unseen: noSecret });
}

/** POSTs that must be answered with 2xx. What took too long or found nobody is of other rules. */
function answersOf(rule: RuleId, { sent }: Evidence): Findings {
  const own = sent.filter((one) => ruleOf(one) === rule);
  const reached = own.filter(({ answer }) => !isUnsent(answer) && !isTimeout(answer));
  if (reached.length === 0) return { unseen: "No POST of it was answered." };
  return {
    seen: reached
      .filter(({ answer }) => !isAccepted(answer))
      .map(({ post, answer }) => `${what(post)} got ${said(answer)}.`),
  };
}

/** A signature that is checked over JSON written again fails on odd variables too, and is named as what it is. */
function ruleOf({ post, answer }: Sent): RuleId {
  const refused = answer.kind === "answered" && (answer.status === 401 || answer.status === 403);
  const rewritten = refused && JSON.stringify(JSON.parse(post.body)) !== post.body;
  return rewritten && post.rule === "odd-variables" ? "raw-bytes" : post.rule;
}

const isTimeout = (answer: Sent["answer"]): boolean => answer.kind === "none" && answer.timedOut;

function fast({ sent, answerWithinMs }: Evidence): Findings {
  const slow = sent.filter(({ answer }) => !isUnsent(answer) && answer.ms > answerWithinMs);
  const worst = new Map<string, Sent>();
  for (const one of slow) {
    const before = worst.get(one.post.event);
    if (before === undefined || before.answer.ms < one.answer.ms) worst.set(one.post.event, one);
  }
  return {
    seen: [...worst.values()].map(
      ({ post, answer }) =>
        `${what(post)} took ${Math.round(answer.ms)} ms${isTimeout(answer) ? " and had no answer then" : ""}; expected at most ${answerWithinMs} ms.`,
    ),
  };
}

/** POSTs that must be refused, and must not be processed either. */
function proofFindings(rule: RuleId, { sent, effects }: Evidence, asked: boolean): Findings {
  if (!asked) return { unseen: noSecret };
  const own = sent.filter(({ post }) => post.rule === rule);
  const seen = own.flatMap(({ post, answer }) => {
    if (isAccepted(answer)) return [`${what(post)} got ${said(answer)}; expected 401.`];
    if (isUnsent(answer) || !effects?.has(keyOf(post))) return [];
    return [`${what(post)} got ${said(answer)}, and was processed all the same.`];
  });
  return { seen };
}

function source(evidence: Evidence): Findings {
  if (evidence.hasHeaders) return proofFindings("source", evidence, true);
  if (evidence.signed) return { unseen: "No header was given (--header); the signature is another rule." };
  return {
    seen: ["POSTs without any proof of their source were accepted: whoever knows the URL can send events."],
  };
}

const notTold =
  "It could not be seen: the receiver does not tell what it processed. Give --effects or --effects-command.";

function processed({ sent, effects }: Evidence): Findings {
  if (effects === null) return { unseen: notTold };
  if (effects.size === 0) {
    return { unseen: "The effects have nothing of this check. Do they come from this receiver?" };
  }
  const missing = sent.filter(
    ({ post, answer }) => post.hasEffect && isAccepted(answer) && !effects.has(keyOf(post)),
  );
  return { seen: missing.map(({ post }) => `${what(post)} was answered with 2xx and not processed.`) };
}

function dedupe({ sent, effects }: Evidence): Findings {
  if (effects === null) return { unseen: notTold };
  if (effects.size === 0) {
    return { unseen: "The effects have nothing of this check. Do they come from this receiver?" };
  }
  return {
    seen: sent.flatMap(({ post }) => {
      const times = effects.get(keyOf(post)) ?? 0;
      const repeated = post.rule === "duplicates" && post.hasEffect;
      return repeated && times > 1 ? [`${what(post)} was processed ${times} times.`] : [];
    }),
  };
}

function alive(evidence: Evidence): Findings {
  const refused = evidence.sent.findIndex(({ answer }) => isUnsent(answer));
  if (refused === -1) return answersOf("alive", evidence);
  const before = evidence.sent.slice(0, refused).at(-1);
  const after = before === undefined ? "" : ` The last answer was to ${what(before.post)}.`;
  return { seen: [`It did not take connections any more.${after}`] };
}

const what = ({ event, label }: Sent["post"]): string => (label === "" ? event : `${event} (${label})`);

function said(answer: Sent["answer"]): string {
  if (answer.kind === "none") return `no answer (${answer.reason})`;
  const body = answer.body.trim() === "" ? "" : `: ${answer.body.trim()}`;
  const to = answer.location === null ? "" : ` to ${answer.location}`;
  return `${answer.status}${to}${body}`;
}
