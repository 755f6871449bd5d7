import { setTimeout as sleep } from "node:timers/promises";
import { agentEvents, eventNames } from "@sendoff/contract";
import { Command, InvalidArgumentError } from "commander";
import { type ConnectionFlags, findConnection, withProjectFlags } from "../connection.ts";
import { type Io, wantsColour } from "../io.ts";
import { openCursorFile } from "../listen/cursor-file.ts";
import { type FeedItem, followFeed } from "../listen/feed.ts";
import { duration, headerOption, httpUrl } from "../options.ts";
import { answerFields, answerLine } from "../send/answer-line.ts";
import { signingSecret } from "../send/own-secret.ts";
import { type Answered, eventHeaders, type OwnHeaders, Poster } from "../send/post.ts";
import { secretOption } from "../send/signature.ts";
import { jsonLine, visible } from "../visible.ts";

export interface ListenFlags extends ConnectionFlags {
  readonly forward: string;
  readonly events: readonly string[];
  readonly from: string;
  readonly cursor?: string;
  readonly secret?: string;
  readonly header: OwnHeaders;
  readonly timeout: number;
  readonly patience: number;
  readonly json?: true;
}

const retryMs = 250;

const help = `
Follows the events of a project live and POSTs each to a receiver on this machine, one after another, as Sendoff would:
same body, same webhook-id, signed. No endpoint is changed. What the server made while it was away from here comes when
the connection is back, each event once.

The signing secret of an agent is shown once, when it is made, and cannot be read again. Give it with --secret or
SENDOFF_SIGNING_SECRET; without it a secret of this command's own signs, which is printed and kept beside start.json.

Examples:
  $ sendoff listen --forward http://localhost:3000/hook
  $ sendoff listen --forward http://localhost:3000/hook --events session.finalized,recording.ready
  $ sendoff listen --forward http://localhost:3000/hook --cursor listen.cursor   go on where the run before ended
  $ sendoff listen --forward http://localhost:3000/hook --from oldest`;

/** `sendoff listen`: live events to a receiver on this machine. */
export function listenCommand(io: Io): Command {
  return withProjectFlags(new Command("listen"))
    .description("POST a project's live events to a receiver on this machine, and show its answers")
    .requiredOption("--forward <url>", "the receiver's URL", httpUrl)
    .option("--events <list>", "which events, with commas", eventNamesOf, [...agentEvents])
    .option("--from <place>", "now, oldest, or a moment in ISO 8601", place, "now")
    .option("--cursor <file>", "keeps the place in a file; the next run goes on there")
    .option("--secret <whsec>", "signs the POSTs (else SENDOFF_SIGNING_SECRET)", secretOption)
    .option(
      "--header <line>",
      'a header of each POST, "Name: value"; may come several times',
      headerOption,
      {},
    )
    .option("--timeout <duration>", "the longest wait for an answer", duration, 10_000)
    .option(
      "--patience <duration>",
      "how long a receiver that takes no connection is waited for",
      duration,
      60_000,
    )
    .option("--json", "print one JSON object a line")
    .addHelpText("after", help)
    .action(async (flags: ListenFlags) => {
      const stop = new AbortController();
      const onSignal = (): void => stop.abort();
      process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
      try {
        await listen(flags, io, stop.signal);
      } finally {
        process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
      }
    });
}

/** Forwards events until the signal is aborted. */
export async function listen(flags: ListenFlags, io: Io, signal: AbortSignal): Promise<void> {
  const connection = findConnection(flags, io.env);
  const { secret, told } = signingSecret(flags.secret, io.env);
  const file = openCursorFile(flags.cursor);
  const poster = new Poster(flags.forward, flags.timeout);
  const colour = wantsColour(io.stdout, io.env);
  // To stderr: what is piped on is answers alone.
  const say = (sentence: string): void => void io.stderr.write(`${sentence}\n`);
  if (told !== null) say(told);
  say(`Forwarding ${flags.events.join(", ")} of project ${connection.projectId} to ${flags.forward}.`);
  const feed = followFeed({
    connection,
    events: flags.events,
    cursor: file.cursor,
    from: flags.from,
    signal,
    onOpen: () => say("Listening (Ctrl-C ends it)."),
    onAway: (reason) => say(`The server is away (${visible(reason)}); waiting for it to come back.`),
    onBack: () => say("The server answers again; going on where it stopped."),
    onMoved: (sentence) =>
      say(`The place in the feed is lost (${visible(sentence)}); going on from before it.`),
  });
  try {
    for await (const item of feed) {
      if (item.body === null) {
        say(`${item.event} of ${item.sessionId} was erased: there is nothing to forward.`);
      } else {
        const answer = await forward(item, item.body, { poster, secret, flags, signal, say });
        const fields = { ...item, body: undefined, answer: answerFields(answer) };
        io.stdout.write(
          `${flags.json === true ? jsonLine(fields) : answerLine(item.event, item.sessionId, answer, colour)}\n`,
        );
        // Ctrl-C while the receiver was waited for: the event was not sent and comes in the next run.
        if (signal.aborted && answer.kind === "none" && answer.unsent) return;
      }
      file.keep(item.id);
    }
  } finally {
    await poster.close();
  }
}

interface Forwarding {
  readonly poster: Poster;
  readonly secret: string;
  readonly flags: ListenFlags;
  readonly signal: AbortSignal;
  readonly say: (sentence: string) => void;
}

/**
 * Makes one POST. A receiver that takes no connection is asked again: it restarts after each change of its code, and
 * nothing of the event can have been handled. Any answer and any other failure is final, as with an endpoint without retries.
 */
async function forward(
  item: FeedItem,
  body: string,
  { poster, secret, flags, signal, say }: Forwarding,
): Promise<Answered> {
  const endsAt = performance.now() + flags.patience;
  for (let tries = 0; ; tries += 1) {
    const headers = eventHeaders({ webhookId: item.webhookId, body, secrets: [secret], own: flags.header });
    const answer = await poster.post(body, headers);
    const again = answer.kind === "none" && answer.unsent && performance.now() < endsAt && !signal.aborted;
    if (!again) return answer;
    if (tries === 0) say(`${flags.forward} takes no connection (${answer.reason}); waiting for it.`);
    await sleep(retryMs, undefined, { signal }).catch(() => {});
  }
}

function eventNamesOf(value: string): string[] {
  const names = value.split(",").map((name) => name.trim());
  const wrong = names.find((name) => !eventNames.some((known) => known === name));
  if (wrong === undefined) return names;
  throw new InvalidArgumentError(
    `"${visible(wrong, 40)}" is no event. Expected some of ${eventNames.join(", ")}, with commas.`,
  );
}

function place(value: string): string {
  if (value === "now" || value === "oldest") return value;
  if (/^\d{4}-\d\d-\d\dT/.test(value) && !Number.isNaN(Date.parse(value)))
    return new Date(value).toISOString();
  throw new InvalidArgumentError("Expected now, oldest, or a moment such as 2026-05-03T08:42:11Z.");
}
