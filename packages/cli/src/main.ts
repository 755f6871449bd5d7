import { Command, CommanderError } from "commander";
import { NoAnswer } from "./api.ts";
import { checkCommand } from "./commands/check.ts";
import { connectionCommand } from "./commands/connection.ts";
import { keysCommand } from "./commands/keys.ts";
import { listenCommand } from "./commands/listen.ts";
import { logsCommand } from "./commands/logs.ts";
import { projectsCommand } from "./commands/projects.ts";
import { reconcileCommand } from "./commands/reconcile.ts";
import { replayCommand } from "./commands/replay.ts";
import { secretCommand } from "./commands/secret.ts";
import { simulateCommand } from "./commands/simulate.ts";
import { apiCommand, startCommand, workerCommand } from "./commands/start.ts";
import { tailCommand } from "./commands/tail.ts";
import { triggerCommand } from "./commands/trigger.ts";
import { CommandFailure, exitStatus, type Io } from "./io.ts";
import { version } from "./version.ts";

const examples = `
Examples:
  $ npm start                                   start everything on this machine
  $ sendoff tail                                watch deliveries arrive at the built-in inspector
  $ sendoff simulate                            play the demo sessions and check every delivery
  $ sendoff listen --forward http://localhost:3000/hook    live events to a receiver on this machine
  $ sendoff trigger call                        one whole session, through the project
  $ sendoff check http://localhost:3000/hook    what a receiver does right and wrong
  $ sendoff logs --outcome rejected,timed_out   attempts that failed
  $ SENDOFF_KEY=sk_... sendoff simulate --api https://sendoff.example.com --project 8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20

Exit status: 0 fine, 1 the check found something wrong, 2 wrong usage or no server.`;

/** The whole command line. */
export function program(io: Io, setStatus: (status: number) => void): Command {
  const root = new Command("sendoff")
    .description("Post-session webhooks for voice and chat agents, delivered in order, once, and logged.")
    .version(version(), "-V, --version")
    .addHelpText("after", examples)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
    });
  const commands = [
    startCommand(io),
    apiCommand(io),
    workerCommand(io),
    listenCommand(io),
    triggerCommand(io, setStatus),
    checkCommand(io, setStatus),
    tailCommand(io),
    simulateCommand(io, setStatus),
    logsCommand(io),
    replayCommand(io, setStatus),
    reconcileCommand(io, setStatus),
    projectsCommand(io),
    connectionCommand(io, setStatus),
    secretCommand(io),
    keysCommand(io),
  ];
  for (const command of commands) {
    root.addCommand(command.copyInheritedSettings(root));
    for (const inner of command.commands) inner.copyInheritedSettings(root);
  }
  return root;
}

/**
 * Runs the command line.
 *
 * @param args without the program's own name.
 * @returns the exit status.
 */
export async function main(args: readonly string[], io: Io = process): Promise<number> {
  let status: number = exitStatus.fine;
  try {
    await program(io, (value) => {
      status = value;
    }).parseAsync(args, { from: "user" });
    return status;
  } catch (error) {
    // Commander has printed its message by now; --help and --version end this way too.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitStatus.fine : exitStatus.unusable;
    // A server that goes away in the midst of a command.
    if (error instanceof NoAnswer) {
      io.stderr.write(`${error.message}. Is the server there?\n`);
      return exitStatus.unusable;
    }
    if (!(error instanceof CommandFailure)) throw error;
    io.stderr.write(`${error.message}\n`);
    return error.exitStatus;
  }
}
