import { randomBytes, randomInt } from "node:crypto";
import {
  type CallStatus,
  type Channel,
  callStatuses,
  SessionId,
  statusesWithoutDuration,
} from "@sendoff/contract";
import { Argument, Command, InvalidArgumentError, Option } from "commander";
import { Api } from "../api.ts";
import { type ConnectionFlags, findConnection, withProjectFlags } from "../connection.ts";
import { CommandFailure, exitStatus, type Io, wantsColour } from "../io.ts";
import { duration, headerOption, httpUrl, seedNumber, wholeNumber } from "../options.ts";
import { answerFields, answerLine } from "../send/answer-line.ts";
import { signingSecret } from "../send/own-secret.ts";
import { type OwnHeaders, Poster } from "../send/post.ts";
import { secretOption } from "../send/signature.ts";
import { Draw } from "../simulate/random.ts";
import { demoFile, readRows } from "../simulate/rows.ts";
import { tableText } from "../table.ts";
import { postSessions } from "../trigger/direct.ts";
import { reportSession, settledSession } from "../trigger/reported.ts";
import {
  eventOrder,
  type OrderKind,
  orderKinds,
  type RecordingKind,
  recordingKinds,
  type Triggered,
  triggeredSession,
} from "../trigger/session.ts";
import { jsonLine } from "../visible.ts";

interface TriggerFlags extends ConnectionFlags {
  readonly status: CallStatus;
  readonly duration?: number;
  readonly recording?: RecordingKind;
  readonly order: OrderKind;
  readonly duplicate: number;
  readonly sessions: number;
  readonly sessionId?: string;
  readonly variables?: string;
  readonly secret?: string;
  readonly header: OwnHeaders;
  readonly recordingUrl?: string;
  readonly timeout: number;
  readonly wait: number;
  readonly seed?: number;
  readonly json?: true;
}

const help = `
With a URL the events are POSTed straight to it, signed with --secret, else with a secret of this command's own. Without
one the session is reported to a project, which sends its events to its endpoints: order and duplicates are then those of
the reports, and what Sendoff made of them is shown.

Examples:
  $ sendoff trigger call                                          through the project of start.json
  $ sendoff trigger text http://localhost:3000/hook               straight to a receiver
  $ sendoff trigger call --status busy --recording failed
  $ sendoff trigger call http://localhost:3000/hook --order shuffled --duplicate 2

Exit status: 0 every answer was 2xx, 1 not every one was, 2 wrong usage or no server.`;

/** `sendoff trigger`: whole sessions, to a receiver or through a project. */
export function triggerCommand(io: Io, setStatus: (status: number) => void): Command {
  return withProjectFlags(new Command("trigger"))
    .description("play one whole session: straight to a receiver's URL, or through a project")
    .addArgument(new Argument("<channel>", "what kind of session").choices(["call", "text"]))
    .argument("[url]", "the receiver's URL; without it a project is told", httpUrl)
    .addOption(
      new Option("--status <status>", "how the call ends").choices(callStatuses).default("userHangup"),
    )
    .option("--duration <seconds>", "of the call (default: by its status)", seconds)
    .addOption(
      new Option("--recording <kind>", "of the call (default: by its status)").choices(recordingKinds),
    )
    .addOption(
      new Option("--order <order>", "of the events, or of the reports")
        .choices(orderKinds)
        .default("natural"),
    )
    .option("--duplicate <n>", "each event, or each report, so many times", wholeNumber, 1)
    .option("--sessions <n>", "how many", wholeNumber, 1)
    .option("--session-id <id>", "the session's id (default: a new one)", sessionId)
    .option("--variables <json>", "the extracted variables (default: those of a demo session)", jsonObject)
    .option("--secret <whsec>", "signs what is sent to a URL (else SENDOFF_SIGNING_SECRET)", secretOption)
    .option("--header <line>", 'a header of what is sent to a URL, "Name: value"', headerOption, {})
    .option("--recording-url <url>", "the recordingUrl of what is sent to a URL", httpUrl)
    .option("--timeout <duration>", "the longest wait for an answer of a URL", duration, 10_000)
    .option("--wait <duration>", "the longest wait for a project's deliveries", duration, 30_000)
    .option("--seed <n>", "repeats what is shuffled and drawn", seedNumber)
    .option("--json", "print one JSON object a line")
    .addHelpText("after", help)
    .action(async (channel: Channel, url: string | undefined, flags: TriggerFlags) => {
      refuseWrong(channel, flags);
      const draw = new Draw(flags.seed ?? randomInt(2 ** 32));
      setStatus(
        await (url === undefined
          ? throughProject(channel, flags, draw, io)
          : toUrl(channel, url, flags, draw, io)),
      );
    });
}

function refuseWrong(channel: Channel, flags: TriggerFlags): void {
  const noCall = flags.recording ?? flags.duration;
  if (channel === "text" && (noCall !== undefined || flags.status !== "userHangup")) {
    throw new CommandFailure(
      "A text session has no --status, --duration and --recording: they are of a call.",
    );
  }
  if (statusesWithoutDuration.includes(flags.status) && (flags.duration ?? 0) > 0) {
    throw new CommandFailure(
      `A call that ends with ${flags.status} carried no traffic: leave --duration out.`,
    );
  }
  if (flags.sessionId !== undefined && flags.sessions > 1) {
    throw new CommandFailure("--session-id names one session; leave --sessions out.");
  }
}

function sessionsOf(channel: Channel, flags: TriggerFlags, draw: Draw, projectId: string): Triggered[] {
  const rows = readRows(demoFile).filter(
    ({ kind, messagesCount }) => kind === channel && messagesCount !== null,
  );
  const { status, duration: length = null, recording = null, variables = null } = flags;
  return Array.from({ length: flags.sessions }, () => {
    const row = rows[draw.whole(0, rows.length - 1)];
    if (row === undefined) throw new CommandFailure("The demo has no session of this kind.");
    const id = flags.sessionId ?? `trigger-${randomBytes(4).toString("hex")}`;
    return triggeredSession({ channel, status, duration: length, recording, variables }, row, {
      projectId,
      sessionId: id,
    });
  });
}

async function toUrl(
  channel: Channel,
  url: string,
  flags: TriggerFlags,
  draw: Draw,
  io: Io,
): Promise<number> {
  const projectId = flags.project ?? io.env.SENDOFF_PROJECT ?? "8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20";
  const { secret, told } = signingSecret(flags.secret, io.env);
  if (told !== null) io.stderr.write(`${told}\n`);
  const sessions = sessionsOf(channel, flags, draw, projectId).map((triggered) => ({
    triggered,
    order: eventOrder(triggered, flags.order, draw),
  }));
  const poster = new Poster(url, flags.timeout);
  const colour = wantsColour(io.stdout, io.env);
  let allTaken = true;
  try {
    await postSessions(sessions, {
      url,
      poster,
      secret,
      headers: flags.header,
      times: flags.duplicate,
      recordingUrl: flags.recordingUrl ?? null,
      onPosted({ sessionId: id, event, webhookId, answer }) {
        if (answer.kind === "none" || answer.status < 200 || answer.status > 299) allTaken = false;
        const fields = { sessionId: id, event, webhookId, ...answerFields(answer) };
        io.stdout.write(
          `${flags.json === true ? jsonLine(fields) : answerLine(event, id, answer, colour)}\n`,
        );
      },
    });
  } finally {
    await poster.close();
  }
  return allTaken ? exitStatus.fine : exitStatus.wrong;
}

async function throughProject(channel: Channel, flags: TriggerFlags, draw: Draw, io: Io): Promise<number> {
  const connection = findConnection(flags, io.env);
  const api = new Api(connection.apiUrl, connection.key, 4);
  let allDelivered = true;
  try {
    for (const triggered of sessionsOf(channel, flags, draw, connection.projectId)) {
      await reportSession(triggered, { api, order: flags.order, draw, times: flags.duplicate });
      const { detail, settled } = await settledSession(triggered, api, flags.wait);
      const { attempts, deliveries, events } = detail.timeline;
      const delivered = deliveries.every(({ state }) => state === "delivered");
      if (!settled || !delivered) allDelivered = false;
      if (flags.json === true) {
        io.stdout.write(
          `${jsonLine({ sessionId: detail.sessionId, settled, events, deliveries, attempts })}\n`,
        );
        continue;
      }
      io.stdout.write(`${detail.sessionId}\n`);
      const rows = attempts.map(({ event, url, attempt, outcome, responseStatus, durationMs }) => [
        event,
        attempt,
        outcome,
        responseStatus,
        durationMs === null ? null : `${Math.round(durationMs)} ms`,
        url,
      ]);
      const nowhere = events
        .filter(({ unsentReason }) => unsentReason !== null)
        .map(({ event, unsentReason }) => [event, null, `not sent (${unsentReason})`, null, null, null]);
      io.stdout.write(
        tableText(["event", "attempt", "outcome", "status", "took", "endpoint"], [...rows, ...nowhere]),
      );
      if (!settled) io.stderr.write("Not everything has settled yet; see sendoff logs.\n");
    }
  } finally {
    await api.close();
  }
  return allDelivered ? exitStatus.fine : exitStatus.wrong;
}

function seconds(value: string): number {
  const number = Number(value);
  if (/^\d+(\.\d+)?$/.test(value)) return number;
  throw new InvalidArgumentError("Expected a number of seconds, 0 or more.");
}

function sessionId(value: string): string {
  if (SessionId.safeParse(value).success) return value;
  throw new InvalidArgumentError("Expected 1 to 128 characters of A-Z a-z 0-9 . _ : -");
}

function jsonObject(value: string): string {
  try {
    const parsed: unknown = JSON.parse(value);
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) return value;
  } catch {
    // Told below.
  }
  throw new InvalidArgumentError('Expected a JSON object, such as {"name": "Nancy"}.');
}
