import { setTimeout as sleep } from "node:timers/promises";
import type { InspectedRequest } from "@sendoff/contract";
import { Command } from "commander";
import { NoAnswer } from "../api.ts";
import { type ConnectionFlags, findInspector, withConnectionFlags } from "../connection.ts";
import { deliveryLine } from "../delivery-line.ts";
import { InspectorReader } from "../inspector.ts";
import { CommandFailure, type Io, wantsColour } from "../io.ts";
import { jsonLine } from "../visible.ts";

interface TailFlags extends ConnectionFlags {
  readonly fromStart?: true;
  readonly json?: true;
}

const pollMs = 500;

/** `sendoff tail`: deliveries as they arrive at the built-in inspector. */
export function tailCommand(io: Io): Command {
  return withConnectionFlags(new Command("tail"))
    .description("show deliveries as they arrive at the built-in inspector")
    .option("--from-start", "begin with the oldest that the inspector holds")
    .option("--json", "print each request as one line of JSON, as the inspector got it")
    .action(async (flags: TailFlags) => {
      const stop = new AbortController();
      const onSignal = (): void => stop.abort();
      process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
      try {
        await tail(flags, io, stop.signal);
      } finally {
        process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
      }
    });
}

/** Prints deliveries until the signal is aborted. */
export async function tail(flags: TailFlags, io: Io, signal: AbortSignal): Promise<void> {
  const inspectorUrl = findInspector(flags, io.env);
  const reader = new InspectorReader(inspectorUrl);
  const colour = wantsColour(io.stdout, io.env);
  const print = (request: InspectedRequest): void => {
    io.stdout.write(`${flags.json === true ? jsonLine(request) : deliveryLine(request, colour)}\n`);
  };
  try {
    if (flags.fromStart !== true) await firstContact(reader.skipToEnd());
    else for (const request of await firstContact(reader.read())) print(request);
    // To stderr: what is piped on is deliveries alone.
    io.stderr.write(`Watching ${inspectorUrl} (Ctrl-C ends it).\n`);
    await follow(reader, print, io, signal);
  } finally {
    await reader.close();
  }
}

async function follow(
  reader: InspectorReader,
  print: (request: InspectedRequest) => void,
  io: Io,
  signal: AbortSignal,
): Promise<void> {
  let away = false;
  while (!signal.aborted) {
    try {
      for (const request of await reader.read()) print(request);
      if (away) io.stderr.write("The server answers again; going on where it stopped.\n");
      away = false;
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      if (!away) io.stderr.write(`${error.message}; waiting for it to come back.\n`);
      away = true;
    }
    await sleep(pollMs, undefined, { signal }).catch(() => {});
  }
}

/** A server that is away from the start is a mistake of the caller; later it is a restart. */
async function firstContact<Result>(result: Promise<Result>): Promise<Result> {
  try {
    return await result;
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    throw new CommandFailure(`${error.message}. Start it with npm start.`);
  }
}
