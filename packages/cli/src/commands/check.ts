import { randomBytes } from "node:crypto";
import { Command } from "commander";
import { type EffectsSource, readEffects } from "../conformance/effects.ts";
import { expectedEffects, judge } from "../conformance/judge.ts";
import { planCheck } from "../conformance/plan.ts";
import { reportOf, reportText } from "../conformance/report.ts";
import { type Sent, sendAll } from "../conformance/send.ts";
import { CommandFailure, exitStatus, type Io, wantsColour } from "../io.ts";
import { duration, headerOption, httpUrl } from "../options.ts";
import { newWebhookId, type OwnHeaders, Poster } from "../send/post.ts";
import { givenSecret, secretOption } from "../send/signature.ts";
import { progressOn } from "../simulate/progress.ts";
import { jsonLine, visible } from "../visible.ts";

interface CheckFlags {
  readonly secret?: string;
  readonly header: OwnHeaders;
  readonly effects?: string;
  readonly effectsCommand?: string;
  readonly answerWithin: number;
  readonly timeout: number;
  readonly settle: number;
  readonly strict?: true;
  readonly json?: true;
}

const help = `
Sends some 250 POSTs of sessions that do not exist: every event and status, text sessions, failed recordings, each legal
order, duplicates, unknown events and fields, odd and large variables, and forged ones. Point it at a receiver that may
process them, such as one on a test database.

What is processed cannot be seen from outside. So that dedupe can be checked, let the receiver write one JSON line for
each time that it processes an event, ["sessionId","event"], and say where: --effects FILE, --effects URL (answers the
lines, or one JSON array of them), or --effects-command COMMAND (prints them). Without that the report says "unseen".

Examples:
  $ sendoff check http://localhost:3000/hook
  $ SENDOFF_SIGNING_SECRET=whsec_... sendoff check http://localhost:3000/hook --effects effects.jsonl
  $ sendoff check https://test.example.com/hook --header "Authorization: Bearer token" --json
  $ sendoff check http://localhost:3000/hook --effects-command "psql -Atc \\"select json_build_array(session_id, event) from handled\\""

Verdicts: held; broken (a rule that must hold); lacks (one that is left to the receiver, such as dedupe); unseen.
Exit status: 0 nothing is broken, 1 something is (with --strict also when something lacks), 2 wrong usage or no receiver.`;

/** `sendoff check`: holds a receiver against what the seeds ask of one. */
export function checkCommand(io: Io, setStatus: (status: number) => void): Command {
  return new Command("check")
    .description("hold a receiver against what it will be sent, and say what holds and what does not")
    .argument("<url>", "the receiver's URL", httpUrl)
    .option(
      "--secret <whsec>",
      "the signing secret that it checks (else SENDOFF_SIGNING_SECRET)",
      secretOption,
    )
    .option(
      "--header <line>",
      'a header that it expects, "Name: value"; may come several times',
      headerOption,
      {},
    )
    .option("--effects <place>", "a file or URL that tells what it has processed; see below")
    .option("--effects-command <command>", "a command that prints the same")
    .option("--answer-within <duration>", "a slower answer counts as slow", duration, 2_000)
    .option("--timeout <duration>", "the longest wait for an answer, as the endpoint's", duration, 10_000)
    .option("--settle <duration>", "the longest wait for effects", duration, 10_000)
    .option("--strict", "what the receiver lacks makes the exit status 1 as well")
    .option("--json", "print the report as one JSON object")
    .addHelpText("after", help)
    .action(async (url: string, flags: CheckFlags) => setStatus(await check(url, flags, io)));
}

async function check(url: string, flags: CheckFlags, io: Io): Promise<number> {
  const secret = givenSecret(flags.secret, io.env);
  const source = sourceOf(flags);
  const hasHeaders = Object.keys(flags.header).length > 0;
  const run = `check-${randomBytes(4).toString("hex")}`;
  const plan = planCheck({ run, at: new Date(), signed: secret !== null, hasHeaders, newWebhookId });
  const [first, ...others] = plan;
  const sent: Sent[] = [];
  const progress = progressOn(io);
  const poster = new Poster(url, flags.timeout);
  const onSent = (one: Sent): void => {
    sent.push(one);
    progress.at(sent.length);
  };
  const send = (sessions: typeof plan): Promise<void> =>
    sendAll(sessions, poster, { secret, headers: flags.header }, onSent);
  try {
    progress.begin("sending events", plan.flatMap(({ steps }) => steps.flat()).length);
    await send(first === undefined ? [] : [first]);
    refuseUnreachable(url, sent, secret !== null || hasHeaders);
    await send(others);
  } finally {
    progress.end();
    await poster.close();
  }
  const effects =
    source === null
      ? null
      : await readEffects({ source, run, expected: expectedEffects(sent), settleMs: flags.settle });
  const evidence = { sent, effects, signed: secret !== null, hasHeaders, answerWithinMs: flags.answerWithin };
  const report = reportOf({ url, run, strict: flags.strict === true, sent, results: judge(evidence) });
  io.stdout.write(
    flags.json === true ? `${jsonLine(report)}\n` : reportText(report, wantsColour(io.stdout, io.env)),
  );
  return report.ok ? exitStatus.fine : exitStatus.wrong;
}

function sourceOf({ effects, effectsCommand }: CheckFlags): EffectsSource | null {
  if (effects !== undefined && effectsCommand !== undefined) {
    throw new CommandFailure("Give either --effects or --effects-command.");
  }
  if (effectsCommand !== undefined) return { kind: "command", at: effectsCommand };
  if (effects === undefined) return null;
  return { kind: /^https?:\/\//.test(effects) ? "url" : "file", at: effects };
}

/** A check of a receiver that is not there, or that knows another secret, would say the same of every rule. */
function refuseUnreachable(url: string, sent: readonly Sent[], hasProof: boolean): void {
  const nobody = sent.find(({ answer }) => answer.kind === "none" && answer.unsent);
  if (nobody?.answer.kind === "none") {
    throw new CommandFailure(
      `Nothing answers at ${visible(url)} (${nobody.answer.reason}). Start the receiver first.`,
    );
  }
  const refused = sent.every(
    ({ answer }) => answer.kind === "answered" && [401, 403].includes(answer.status),
  );
  if (refused) {
    throw new CommandFailure(
      hasProof
        ? `The receiver refuses every event with 401 or 403. Is the secret or header the one that it expects?`
        : `The receiver refuses every event with 401 or 403. Give what it expects: --secret whsec_... or --header "Name: value".`,
    );
  }
  if (sent.every(({ answer }) => answer.kind === "answered" && answer.status === 404)) {
    throw new CommandFailure(
      `The receiver answers 404 to every event. Is ${visible(url)} the path of its webhook?`,
    );
  }
}
