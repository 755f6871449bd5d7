import { check, type Violation } from "./checker/check.ts";
import { evidenceOf, groupBy, isOwn } from "./checker/evidence.ts";
import { type Coverage, coverageOf, notCovered, notMade, tooLow } from "./coverage.ts";
import type { RunOptions } from "./options.ts";
import type { Finished } from "./run.ts";

export type Verdict = "passed" | "violations" | "inconclusive";

/** What a run has shown. */
export interface Summary {
  readonly verdict: Verdict;
  readonly violations: readonly Violation[];
  /** Why it is inconclusive, or failed for another reason than an invariant. */
  readonly reasons: readonly string[];
  readonly notCovered: readonly string[];
  readonly coverage: Coverage;
  readonly quietAfterMs: number | null;
  readonly deaths: readonly string[];
}

export const exitStatus: Readonly<Record<Verdict, number>> = { passed: 0, violations: 1, inconclusive: 3 };

/** Decides on a run. */
export function summarize(
  { history, deaths, drained, quietAfterMs, canFillDisk }: Finished,
  options: RunOptions,
): Summary {
  const evidence = evidenceOf(history);
  const violations = check(history);
  const ownEvents = history.tables.events.filter(isOwn).length;
  const coverage = coverageOf(history, evidence, ownEvents);
  const missing = notCovered(history.features);
  const failures = [
    ...(drained ? [] : ["a process did not end within 30 s of SIGTERM with status 0"]),
    ...(options.strict ? missing.map((what) => `not covered: ${what}`) : []),
  ];
  const low = [
    ...(options.floors ? tooLow(coverage, options.seconds, canFillDisk) : []),
    ...notMade(coverage, options.moves, canFillDisk),
  ];
  return {
    verdict:
      violations.length > 0 || failures.length > 0
        ? "violations"
        : low.length > 0
          ? "inconclusive"
          : "passed",
    violations,
    reasons: [...failures, ...low],
    notCovered: missing,
    coverage,
    quietAfterMs,
    deaths,
  };
}

const shownPerInvariant = 3;
const lineMax = 700;

/** The summary for people, and at its end one line of JSON for machines. */
export function printSummary(summary: Summary, seed: string, write: (text: string) => void): void {
  const { coverage, violations } = summary;
  const figures = Object.entries(coverage).filter(([, value]) => typeof value === "number");
  const rows = [
    ...figures,
    ...Object.entries(coverage.moves).map(([name, value]) => [`moves ${name}`, value]),
    ...Object.entries(coverage.outcomes).map(([name, value]) => [`rows ${name}`, value]),
  ];
  write("\n");
  for (const [name, value] of rows) write(`  ${String(name).padEnd(22)} ${String(value).padStart(8)}\n`);
  write(
    `  ${"quiet after".padEnd(22)} ${summary.quietAfterMs === null ? "never" : seconds(summary.quietAfterMs)}\n`,
  );
  for (const what of summary.notCovered) write(`  not covered: ${what}\n`);
  for (const death of summary.deaths.slice(0, 5)) write(`  ${death}\n`);
  for (const [invariant, group] of groupBy(violations, (item) => item.invariant)) {
    write(`\n${invariant}: ${group.length} violations\n`);
    for (const { what, lines } of group.slice(0, shownPerInvariant)) {
      write(`  - ${what}\n`);
      for (const line of lines) write(`      ${(line ?? "").slice(0, lineMax)}\n`);
    }
  }
  for (const reason of summary.reasons) write(`\n${reason}\n`);
  write(`\n${summary.verdict}\n`);
  const counts = Object.fromEntries(
    [...groupBy(violations, (item) => item.invariant)].map(([name, group]) => [name, group.length]),
  );
  const { verdict, reasons, notCovered: missing, quietAfterMs, deaths } = summary;
  const line = {
    seed,
    verdict,
    violations: counts,
    reasons,
    notCovered: missing,
    quietAfterMs,
    deaths: deaths.length,
  };
  write(`${JSON.stringify({ ...line, ...coverage })}\n`);
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
