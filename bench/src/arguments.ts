import { parseArgs } from "node:util";
import { type Benchmark, CannotRun, type NumberOption, numberOptions, type Settings } from "./benchmark.ts";

/** The command line asks for nothing that there is. The message says what there is. */
class UsageError extends CannotRun {}

const optionNames = Object.keys(numberOptions) as NumberOption[];

/**
 * @returns what to run, or the text to print when help was asked for.
 * @throws UsageError when there is no such benchmark or an option has no meaning.
 */
export function readArguments(
  args: readonly string[],
  benchmarks: readonly Benchmark[],
): { benchmark: Benchmark; settings: Settings } | { help: string } {
  const { values, positionals } = parse(args);
  const [name, ...more] = positionals;
  const benchmark = benchmarks.find((one) => one.name === name);
  if (values.help === true || (name === undefined && args.length === 0)) {
    return { help: benchmark === undefined ? helpOf(benchmarks) : helpOfOne(benchmark) };
  }
  if (benchmark === undefined || more.length > 0) {
    const given =
      positionals.length === 0 ? "No benchmark is named" : `There is no benchmark "${positionals.join(" ")}"`;
    throw new UsageError(
      `${given}; expected one of ${benchmarks.map((one) => one.name).join(", ")}. \`npm run bench -- --help\` explains them.`,
    );
  }
  const given = optionNames.flatMap((option) => {
    const text = values[option];
    return typeof text === "string" ? [[option, numberFrom(benchmark, option, text)] as const] : [];
  });
  if (typeof values.out === "string" && benchmark.keepsFiles !== true) throw notTaken(benchmark, "out");
  return {
    benchmark,
    settings: { ...Object.fromEntries(given), out: typeof values.out === "string" ? values.out : null },
  };
}

function parse(args: readonly string[]) {
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        help: { type: "boolean", short: "h" },
        out: text,
        ...(Object.fromEntries(optionNames.map((name) => [name, text])) as Record<NumberOption, typeof text>),
      },
    });
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n\`npm run bench -- --help\` lists what there is.`);
  }
}

function numberFrom(benchmark: Benchmark, option: NumberOption, text: string): number {
  if (benchmark.defaults[option] === undefined) throw notTaken(benchmark, option);
  const number = Number(text);
  if (Number.isFinite(number) && number > 0) return number;
  throw new UsageError(`--${option} is ${text}; expected a number above 0 (${numberOptions[option]})`);
}

const optionsOf = ({ defaults, keepsFiles }: Benchmark): string[] => [
  ...optionNames.filter((name) => defaults[name] !== undefined).map((name) => `--${name}`),
  ...(keepsFiles === true ? ["--out"] : []),
];

const notTaken = (benchmark: Benchmark, option: string): UsageError =>
  new UsageError(`${benchmark.name} takes no --${option}; it takes ${optionsOf(benchmark).join(", ")}.`);

function helpOf(benchmarks: readonly Benchmark[]): string {
  const width = Math.max(...benchmarks.map(({ name }) => name.length));
  return [
    "Usage: npm run bench -- NAME [options]",
    "",
    "Runs one benchmark on a PostgreSQL, a Sendoff, a sink and a load of its own, all on this machine, and prints a table,",
    "PASS or FAIL for each goal, the machine, and all of it as one line of JSON.",
    "Exit status: 0 all goals are reached, 1 one is not, 2 it could not run.",
    "",
    "Benchmarks:",
    ...benchmarks.map(({ name, sentence }) => `  ${name.padEnd(width)}  ${sentence}`),
    "",
    "Options (each benchmark takes some; `npm run bench -- NAME --help` tells which, and their defaults):",
    ...optionNames.map((name) => optionLine(name)),
    outLine,
    "",
    "Examples:",
    "  npm run bench -- throughput",
    "  npm run bench -- latency --rate 500 --runs 3",
    "  npm run bench -- growth --size 100000 --held 2     smaller than the goal asks for, to try it",
    "  npm run bench -- backlog --out plans               keeps the plans of the claim statements",
  ].join("\n");
}

function helpOfOne(benchmark: Benchmark): string {
  const { name, sentence, defaults } = benchmark;
  return [
    `Usage: npm run bench -- ${name} [options]`,
    "",
    sentence,
    "",
    "Options:",
    ...optionNames.flatMap((option) =>
      defaults[option] === undefined ? [] : [`${optionLine(option)} (${defaults[option]})`],
    ),
    ...(benchmark.keepsFiles === true ? [outLine] : []),
  ].join("\n");
}

const optionLine = (name: NumberOption): string => `  ${`--${name} N`.padEnd(15)} ${numberOptions[name]}`;
const outLine = "  --out FOLDER    keeps there what is too long to print";
