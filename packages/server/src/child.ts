// Entry of the process that a supervisor forks: all the work of Sendoff is done here. It tells its parent that it lives,
// and never outlives it: without somebody who kills it when it stalls, it could wake up after its leases have ended and
// send late (guarantees, "The protocol", 7).
import { startSendoff } from "./main.ts";
import type { Role, Running } from "./running.ts";
import { StartError } from "./start-error.ts";
import { type FromChild, heartbeatMs, type ToChild } from "./supervisor-messages.ts";

let running: Running | undefined;

function tell(message: FromChild, then?: () => void): void {
  process.send?.(message, undefined, {}, () => then?.());
}

async function begin(role: Role, connectionString: string | null): Promise<void> {
  try {
    running = await startSendoff({
      role,
      env: process.env,
      pid: process.ppid,
      logTo: process.stdout,
      onStalled: endStalled,
      ...(connectionString === null ? {} : { connectionString }),
    });
    tell({ type: "ready", start: running.start, startPath: running.startPath });
    setInterval(() => tell({ type: "heartbeat" }), heartbeatMs);
  } catch (error) {
    const known = error instanceof StartError;
    const message =
      error instanceof Error ? (known ? error.message : (error.stack ?? error.message)) : String(error);
    tell({ type: "failed", message, known }, () => process.exit(1));
  }
}

/** How long what is under way has to end when the dispatcher has stalled, in milliseconds. */
const stalledDrainMs = 10_000;

/** The dispatcher makes no progress. What can still be stored is stored; the next process goes on. */
function endStalled(): void {
  setTimeout(() => process.exit(1), stalledDrainMs);
  void end();
}

let ending = false;

async function end(): Promise<void> {
  if (ending) return;
  ending = true;
  await running?.stop();
  process.exit(0);
}

process.on("message", (message: ToChild) => {
  if (message.type === "begin") void begin(message.role, message.connectionString);
  else void end();
});
// Nobody reads what is said here any more: the parent is gone. The channel may tell so too late, or never, to a process
// that is busy saying things.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => process.exit(1));
// As sudden as the parent's end: what was under way is taken over by lease, as after any death.
process.on("disconnect", () => process.exit(1));
// Ctrl-C in a terminal reaches parent and child; the parent says what is to be done.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => void end());
