import { RotatedSecret } from "@sendoff/contract";
import { Command } from "commander";
import { Api } from "../api.ts";
import { type ConnectionFlags, findConnection, withProjectFlags } from "../connection.ts";
import type { Io } from "../io.ts";
import { ask, dataAs } from "../paged.ts";
import { jsonLine } from "../visible.ts";

interface Flags extends ConnectionFlags {
  readonly overlap?: string;
  readonly json?: true;
}

/** `sendoff secret`: the signing secret of the agent's webhook. */
export function secretCommand(io: Io): Command {
  const help = `
Examples:
  $ sendoff secret rotate                        a new signing secret; the old one signs along for 24 h
  $ sendoff secret rotate --overlap 0s           the same after a leak: the old one ends at once`;
  const command = new Command("secret")
    .description("rotate the signing secret of the agent's webhook")
    .addHelpText("after", help);
  const rotate = withProjectFlags(new Command("rotate"))
    .description("make a new signing secret of the agent's webhook, which is shown once")
    .option("--overlap <duration>", "for how long the old one signs along, 0s to 7d (default: 24h)")
    .option("--json", "print one JSON object")
    .action((flags: Flags) => rotateSecret(flags, io));
  command.addCommand(rotate);
  return command;
}

async function rotateSecret(flags: Flags, io: Io): Promise<void> {
  const { apiUrl, key, projectId } = findConnection(flags, io.env);
  const api = new Api(apiUrl, key, 1);
  try {
    const body = flags.overlap === undefined ? {} : { overlap: flags.overlap };
    const answer = await ask(api, "POST", `/v1/projects/${projectId}/agent/webhook/secret`, body);
    const secret = dataAs(answer, RotatedSecret, "The secret");
    if (flags.json === true) io.stdout.write(`${jsonLine(secret)}\n`);
    else {
      const { signingSecret, oldSecretEndsAt } = secret;
      const old =
        oldSecretEndsAt === null
          ? "The old one signs no more."
          : `The old one signs along until ${oldSecretEndsAt}.`;
      io.stdout.write(`${signingSecret}\n`);
      io.stderr.write(`It is shown once: give it to the receiver now. ${old}\n`);
    }
  } finally {
    await api.close();
  }
}
