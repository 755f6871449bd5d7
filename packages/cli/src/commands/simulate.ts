import { randomInt } from "node:crypto";
import { Command } from "commander";
import { type ConnectionFlags, findConnection, withConnectionFlags } from "../connection.ts";
import { exitStatus, type Io } from "../io.ts";
import { duration, positiveNumber, seedNumber, wholeNumber } from "../options.ts";
import { demoCalls, recordingsOf } from "../simulate/audio.ts";
import { newRun, planSessions } from "../simulate/plans.ts";
import { progressOn } from "../simulate/progress.ts";
import { demoFile, readRows } from "../simulate/rows.ts";
import { simulate } from "../simulate/run.ts";
import { summaryText } from "../simulate/summary.ts";
import { jsonLine } from "../visible.ts";

interface SimulateFlags extends ConnectionFlags {
  readonly file?: string;
  readonly recordings?: string;
  readonly sessions?: number;
  readonly rate: number;
  readonly speed: number;
  readonly seed?: number;
  readonly concurrency: number;
  readonly patience: number;
  readonly keepIds?: true;
  readonly json?: true;
}

const settleLimitMs = 60_000;

const examples = `
Examples:
  $ sendoff simulate                                      the demo sessions, at once
  $ sendoff simulate --file sessions.jsonl                sessions of your own, 50 new ones a second
  $ sendoff simulate --sessions 5000 --rate 500 --seed 7  go through the file again and again
  $ sendoff simulate --speed 1 --rate 1                   in real time`;

/** `sendoff simulate`: plays sessions against a server and checks every delivery. */
export function simulateCommand(io: Io, setStatus: (status: number) => void): Command {
  return withConnectionFlags(new Command("simulate"))
    .description(
      "play real sessions through the API, then check that every event was delivered once and in order",
    )
    .option("--file <path>", "sessions to play, one JSON object a line (default: the demo sessions)")
    .option(
      "--sessions <n>",
      "how many (default: as many as the file has; more goes through it again)",
      wholeNumber,
    )
    .option(
      "--recordings <folder>",
      "recordings to upload for the calls: .mp3, .ogg, .wav, .webm (default: stereo Ogg with Opus, made here)",
    )
    .option("--rate <n>", "new sessions per second", positiveNumber, 50)
    .option("--speed <n>", "how many times faster than real time a session passes", positiveNumber, 1_000)
    .option("--seed <n>", "repeats a run with the same number (default: drawn, and shown)", seedNumber)
    .option("--concurrency <n>", "requests in flight at once", wholeNumber, 64)
    .option(
      "--patience <duration>",
      "how long one request is repeated while the server is away",
      duration,
      60_000,
    )
    .option("--keep-ids", "use the file's session ids as they are; a server takes each only once")
    .option("--json", "print the summary as one JSON object")
    .addHelpText("after", examples)
    .action(async (flags: SimulateFlags) => setStatus(await run(flags, io)));
}

async function run(flags: SimulateFlags, io: Io): Promise<number> {
  const rows = readRows(flags.file ?? demoFile);
  const connection = findConnection(flags, io.env);
  const seed = flags.seed ?? randomInt(2 ** 32);
  const runId = flags.keepIds === true ? null : newRun();
  const sessions = flags.sessions ?? rows.length;
  const plans = planSessions(rows, { sessions, seed, run: runId });
  const audio = flags.recordings === undefined ? demoCalls() : recordingsOf(flags.recordings);
  const summary = await simulate({
    connection,
    plans,
    audio,
    run: runId,
    seed,
    rate: flags.rate,
    speed: flags.speed,
    concurrency: flags.concurrency,
    patienceMs: flags.patience,
    settleLimitMs,
    progress: progressOn(io),
  });
  io.stdout.write(flags.json === true ? `${jsonLine(summary)}\n` : summaryText(summary));
  return summary.ok ? exitStatus.fine : exitStatus.wrong;
}
