import { parseArgs } from "node:util";
import type { Benchmark, Settings } from "./benchmark.ts";

/** The command line asks for nothing that there is. The message says what there is. */
export class UsageError extends Error {}

const numbers = ["runs", "seconds", "rate", "size", "endpoints"] as const;

/** @throws UsageError when there is no such benchmark or an option has no meaning. */
export function readArguments(
  args: readonly string[],
  benchmarks: readonly Benchmark[],
): { benchmark: Benchmark; settings: Settings } {
  const { values, positionals } = parse(args, usageOf(benchmarks));
  const benchmark = benchmarks.find(({ name }) => name === positionals[0]);
  if (benchmark === undefined || positionals.length > 1) throw new UsageError(usageOf(benchmarks));
  const numberOf = (name: (typeof numbers)[number]): number | null => {
    const text = values[name];
    if (text === undefined) return null;
    const number = Number(text);
    if (Number.isFinite(number) && number > 0) return number;
    throw new UsageError(`--${name} is ${text}; expected a number above 0`);
  };
  return {
    benchmark,
    settings: {
      runs: numberOf("runs"),
      seconds: numberOf("seconds"),
      rate: numberOf("rate"),
      size: numberOf("size"),
      endpoints: numberOf("endpoints"),
      out: values.out ?? null,
    },
  };
}

function parse(args: readonly string[], usage: string) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        runs: { type: "string" },
        seconds: { type: "string" },
        rate: { type: "string" },
        size: { type: "string" },
        endpoints: { type: "string" },
        out: { type: "string" },
      },
    });
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n\n${usage}`);
  }
}

function usageOf(benchmarks: readonly Benchmark[]): string {
  const width = Math.max(...benchmarks.map(({ name }) => name.length));
  return [
    "npm run bench -- NAME [--runs N] [--seconds S] [--rate REPORTS_PER_SECOND] [--size DELIVERIES]",
    "                      [--endpoints N] [--out FOLDER]",
    "",
    ...benchmarks.map(({ name, sentence }) => `  ${name.padEnd(width)}  ${sentence}`),
  ].join("\n");
}
