// npm run chaos:mutants [-- --only NAME]: proves the checker. Each mutant must be found, and the server as it is must pass
// the same runs.
import { defaultOptions, type RunOptions } from "../options.ts";
import { abortBySignal, withPlace } from "../place.ts";
import { runOnce } from "../run.ts";
import { printSummary, type Summary, summarize } from "../summary.ts";
import { type Patch, PatchError } from "../workspace.ts";
import { type Mutant, mutants } from "./table.ts";

interface Row {
  readonly name: string;
  readonly verdict: "found" | "not found" | "passed" | "failed" | "does not fit";
  readonly detail: string;
}

const abort = abortBySignal();
const say = (text: string): void => void process.stdout.write(`${text}\n`);

function run(options: RunOptions, patches: readonly Patch[]): Promise<Summary> {
  return withPlace(null, patches, abort, say, async (place) => {
    const result = summarize(await runOnce(options, place), options);
    return { result, keep: false };
  });
}

const optionsOf = (more: Partial<RunOptions>): RunOptions => ({
  ...defaultOptions,
  ...{ seconds: 15, quietSeconds: 60, floors: false, moves: [] },
  ...more,
});

const countsOf = ({ violations }: Summary): string => {
  const counts = new Map<string, number>();
  for (const { invariant } of violations) counts.set(invariant, (counts.get(invariant) ?? 0) + 1);
  return [...counts].map(([name, count]) => `${name}: ${count}`).join(", ");
};

async function judge(mutant: Mutant): Promise<Row> {
  const { name } = mutant;
  try {
    const summary = await run(optionsOf(mutant.options), mutant.patches);
    const found = summary.violations.some(({ invariant }) => mutant.expected.includes(invariant));
    return { name, verdict: found ? "found" : "not found", detail: countsOf(summary) };
  } catch (error) {
    if (error instanceof PatchError) return { name, verdict: "does not fit", detail: error.message };
    throw error;
  }
}

/** The server as it is under the same faults: what is found there, would be found in every mutant. */
async function control(what: string, more: Partial<RunOptions>): Promise<Row> {
  const options = optionsOf(more);
  const summary = await run(options, []);
  if (summary.violations.length > 0)
    printSummary(summary, options.seed, (text) => process.stdout.write(text));
  const verdict = summary.violations.length === 0 ? "passed" : "failed";
  return { name: `(unchanged, ${what})`, verdict, detail: countsOf(summary) };
}

const controls = (): Array<() => Promise<Row>> => [
  () => control("kills", { killsPerSecond: 0.6, stopsPerMinute: 0 }),
  () =>
    control("moves", {
      ...{ killsPerSecond: 0, stopsPerMinute: 0 },
      ...{ moves: ["outage", "hang", "promotion"], seconds: 60 },
    }),
];

async function main(args: readonly string[]): Promise<number> {
  const only = args.indexOf("--only") < 0 ? null : args[args.indexOf("--only") + 1];
  const chosen = mutants.filter(({ name }) => only === null || name === only);
  if (chosen.length === 0) {
    say(`--only is ${only}; expected one of ${mutants.map(({ name }) => name).join(", ")}`);
    return 2;
  }
  const rows: Row[] = [];
  for (const run of only === null ? controls() : []) rows.push(await run());
  for (const mutant of chosen) {
    if (abort.aborted) return 2;
    say(`\n${mutant.name}: breaks "${mutant.rule}"`);
    const row = await judge(mutant);
    rows.push(row);
    say(`${row.verdict}: ${row.detail}`);
  }
  say("");
  for (const { name, verdict, detail } of rows) say(`  ${name.padEnd(28)} ${verdict.padEnd(14)} ${detail}`);
  return rows.every(({ verdict }) => verdict === "found" || verdict === "passed") ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
