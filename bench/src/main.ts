// npm run bench -- NAME: runs one benchmark on a PostgreSQL, a Sendoff and a sink of its own, and prints what it found.
// Exit status: 0 goals reached, 1 a goal was missed, 2 it could not run.
import { readArguments } from "./arguments.ts";
import { backlog } from "./backlog.ts";
import { type Benchmark, CannotRun, type Findings } from "./benchmark.ts";
import { disk } from "./disk.ts";
import { growth } from "./growth.ts";
import { latency } from "./latency.ts";
import { describeMachine, loadNow, type Machine } from "./machine.ts";
import { neighbour } from "./neighbour.ts";
import { overload } from "./overload.ts";
import { pages } from "./pages.ts";
import { createProgress, type Progress } from "./progress.ts";
import { receiver } from "./receiver.ts";
import { scale } from "./scale.ts";
import { Scope } from "./scope.ts";
import { steps } from "./steps.ts";
import { formatTable } from "./table.ts";
import { tenants } from "./tenants.ts";
import { throughput } from "./throughput.ts";
import { sleep } from "./time.ts";
import { versus } from "./versus.ts";

const benchmarks: readonly Benchmark[] = [
  throughput,
  steps,
  latency,
  neighbour,
  tenants,
  backlog,
  growth,
  scale,
  overload,
  pages,
  versus,
  receiver,
  disk,
];
const exitStatus = { reached: 0, missed: 1, unusable: 2, interrupted: 130 };

async function main(args: readonly string[]): Promise<number> {
  const asked = readArguments(args, benchmarks);
  if ("help" in asked) {
    process.stdout.write(`${asked.help}\n`);
    return exitStatus.reached;
  }
  const { benchmark, settings } = asked;
  const scope = new Scope();
  const progress = createProgress(process.stderr);
  const loadBefore = loadNow();
  const running = benchmark.run({ settings, scope, progress });
  endBySignal(scope, progress, running);
  try {
    const findings = await running;
    progress.end();
    print(benchmark.name, findings, describeMachine(findings.postgres, loadBefore));
    return findings.goals.every((goal) => goal.reached) ? exitStatus.reached : exitStatus.missed;
  } catch (error) {
    // Ended under its hands: the signal's own work ends the process, and nobody wants to read what failed by it.
    if (interrupted) return exitStatus.interrupted;
    throw error;
  } finally {
    await scope.end();
  }
}

let interrupted = false;
/** How long a run may take to notice that what it works with is gone. */
const noticeMs = 5_000;

/** The first Ctrl-C or SIGTERM ends all that the run has started, also what it is just starting. */
function endBySignal(scope: Scope, progress: Progress, running: Promise<unknown>): void {
  const end = async (): Promise<void> => {
    if (interrupted) return;
    interrupted = true;
    progress.step("Cleaning up ...");
    await scope.end();
    await Promise.race([running.catch(() => {}), sleep(noticeMs)]);
    await scope.end();
    process.exit(exitStatus.interrupted);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => void end());
}

function print(name: string, findings: Findings, machine: Machine): void {
  const lines = [
    ...findings.tables.map((table) => `${formatTable(table)}\n`),
    ...findings.goals.map(
      ({ text, measured, reached }) => `${reached ? "PASS" : "FAIL"}  ${text}: ${measured}`,
    ),
    "",
    `Machine: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system}, Node ${machine.node}, PostgreSQL ${machine.postgres}; load average ${machine.loadBefore} before the run, ${loadNow()} at its end`,
    JSON.stringify({ benchmark: name, ...findings.figures, goals: findings.goals, machine }),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof CannotRun ? error.message : (error as Error).stack}\n`);
  process.exitCode = exitStatus.unusable;
}
