import { styleText } from "node:util";
import { visible } from "../visible.ts";
import type { Result, Verdict } from "./judge.ts";
import { type RuleId, rules } from "./rules.ts";
import type { Sent } from "./send.ts";

/** The result of a check. `--json` prints it as it is. */
export interface Report {
  /** Every rule that must hold does; with `strict` those that should, too. */
  readonly ok: boolean;
  readonly url: string;
  /** Begins the session ids of all POSTs. */
  readonly run: string;
  readonly strict: boolean;
  readonly posts: number;
  /** Times of the answers, in ms; null: none came. */
  readonly answers: { readonly p50Ms: number; readonly p99Ms: number; readonly maxMs: number } | null;
  readonly rules: readonly {
    readonly id: RuleId;
    readonly verdict: Verdict;
    readonly title: string;
    readonly level: "must" | "should";
    readonly findings: readonly string[];
    readonly asks: string;
    readonly source: string;
    readonly advice: string;
  }[];
}

/** So many findings of a rule are shown to people. */
const shownMax = 4;

/** What a report is made from. */
export interface ReportInput {
  readonly url: string;
  readonly run: string;
  readonly strict: boolean;
  readonly sent: readonly Sent[];
  readonly results: readonly Result[];
}

export function reportOf({ url, run, strict, sent, results }: ReportInput): Report {
  const times = sent
    .filter(({ answer }) => answer.kind === "answered")
    .map(({ answer }) => answer.ms)
    .sort((left, right) => left - right);
  const percentile = (percent: number): number =>
    Math.round(times[Math.max(0, Math.ceil((times.length * percent) / 100) - 1)] ?? 0);
  const bad = results.filter(({ verdict }) => verdict === "broken" || (strict && verdict === "lacks"));
  return {
    ok: bad.length === 0,
    url,
    run,
    strict,
    posts: sent.length,
    answers:
      times.length === 0 ? null : { p50Ms: percentile(50), p99Ms: percentile(99), maxMs: percentile(100) },
    rules: results.map(({ rule, verdict, findings }) => {
      const { title, level, asks, source, advice } = rules[rule];
      return { id: rule, verdict, title, level, findings, asks, source, advice };
    }),
  };
}

const colours: Readonly<Record<Verdict, "green" | "red" | "yellow" | "dim">> = {
  held: "green",
  broken: "red",
  lacks: "yellow",
  unseen: "dim",
};

/** The report as text for people. What the receiver answered is in it as text, never as a terminal's commands. */
export function reportText(report: Report, colour: boolean): string {
  const paint = (verdict: Verdict, text: string): string =>
    colour ? styleText(colours[verdict], text, { validateStream: false }) : text;
  const lines = report.rules.flatMap((rule) => {
    const head = `  ${paint(rule.verdict, rule.verdict.padEnd(7))} ${rule.id.padEnd(18)} ${rule.title}`;
    if (rule.verdict === "held") return [head];
    const more = rule.findings.length - shownMax;
    const findings = [
      ...rule.findings.slice(0, shownMax).map((finding) => `            ${visible(finding, 240)}`),
      ...(more > 0 ? [`            and ${more} more`] : []),
    ];
    if (rule.verdict === "unseen") return [head, ...findings];
    return [
      head,
      ...findings,
      `            asked for: "${rule.asks}" (${rule.source})`,
      `            do: ${rule.advice}`,
    ];
  });
  const times =
    report.answers === null
      ? "no answers"
      : `answers p50 ${report.answers.p50Ms} ms, p99 ${report.answers.p99Ms} ms, longest ${report.answers.maxMs} ms`;
  return [
    ...lines,
    "",
    `${report.posts} POSTs to ${visible(report.url, 300)}; ${times}.`,
    verdictOf(report),
    "",
  ].join("\n");
}

function verdictOf(report: Report): string {
  const named = (verdict: Verdict): string =>
    report.rules
      .filter((rule) => rule.verdict === verdict)
      .map(({ id }) => id)
      .join(", ");
  const parts = [
    named("broken") === "" ? "Nothing that must hold is broken." : `Broken: ${named("broken")}.`,
    named("lacks") === "" ? "" : `It lacks: ${named("lacks")}.`,
    named("unseen") === "" ? "" : `Not seen: ${named("unseen")}.`,
  ];
  return parts.filter((part) => part !== "").join(" ");
}
