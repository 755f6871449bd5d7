// npm run chaos: one run of the rig. See options.ts for what can be set.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readOptions, UsageError, usage } from "./options.ts";
import { abortBySignal, withPlace } from "./place.ts";
import { AbortedError, runOnce } from "./run.ts";
import { exitStatus, printSummary, summarize } from "./summary.ts";

const unusable = 2;

async function main(args: readonly string[]): Promise<number> {
  if (args.includes("--help")) {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  const options = readOptions(args);
  const abort = abortBySignal();
  const tell = (sentence: string): void => void process.stdout.write(`${sentence}\n`);
  return withPlace(options.out, [], abort, tell, async (place) => {
    const finished = await runOnce(options, place);
    // What the checker decided on, so that it can be asked again.
    await writeFile(join(place.logs, "tables.json"), JSON.stringify(finished.history.tables));
    const summary = summarize(finished, options);
    printSummary(summary, options.seed, (text) => process.stdout.write(text));
    return { result: exitStatus[summary.verdict], keep: summary.verdict !== "passed" };
  });
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const expected = error instanceof UsageError || error instanceof AbortedError;
  process.stderr.write(`${expected ? error.message : (error as Error).stack}\n`);
  // Clients that still report would go on for ever.
  process.exit(unusable);
}
