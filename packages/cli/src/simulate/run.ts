import { Agent, type AgentEvent, defaultEvents } from "@sendoff/contract";
import { Api, dataOf, NoAnswer } from "../api.ts";
import type { Connection } from "../connection.ts";
import { InspectorReader } from "../inspector.ts";
import { CommandFailure } from "../io.ts";
import type { CallAudio } from "./audio.ts";
import { check } from "./check.ts";
import { WireFollower } from "./follow.ts";
import { eventsCertain, Journal, knownBefore } from "./journal.ts";
import { LogBook } from "./logs.ts";
import type { SessionPlan } from "./plan.ts";
import { play } from "./play.ts";
import type { Progress } from "./progress.ts";
import { deliveryKey, settle, unlessAway } from "./settle.ts";
import { type Summary, summarize } from "./summary.ts";
import { Wire } from "./wire.ts";

/** One simulation. */
export interface SimulationOptions {
  readonly connection: Connection;
  readonly plans: readonly SessionPlan[];
  readonly audio: CallAudio;
  readonly run: string | null;
  readonly seed: number;
  readonly rate: number;
  readonly speed: number;
  readonly concurrency: number;
  readonly patienceMs: number;
  /** How long to wait for deliveries when none settles, in ms. */
  readonly settleLimitMs: number;
  readonly progress: Progress;
}

interface Webhook {
  readonly url: string;
  readonly events: readonly AgentEvent[];
}

const AgentWebhook = Agent.pick({ postSessionWebhook: true });

/** Rows and reports carry the server's clock and this machine's: so far apart they may be, in ms. */
const clockSlackMs = 60_000;

/** Plays the sessions, waits for the deliveries, and checks all of it. */
export async function simulate(options: SimulationOptions): Promise<Summary> {
  const { connection } = options;
  const api = new Api(connection.apiUrl, connection.key, options.concurrency);
  const reader = connection.inspectorUrl === null ? null : new InspectorReader(connection.inspectorUrl);
  try {
    const webhook = await readWebhook(api, connection);
    const { inspectorUrl } = connection;
    const isWatched = webhook !== null && inspectorUrl !== null && (await pointsAt(webhook, inspectorUrl));
    const watched = isWatched ? reader : null;
    await watched?.skipToEnd();
    return await runWith(api, webhook, watched, options);
  } finally {
    await Promise.all([api.close(), reader?.close()]);
  }
}

async function runWith(
  api: Api,
  webhook: Webhook | null,
  reader: InspectorReader | null,
  options: SimulationOptions,
): Promise<Summary> {
  const { plans, connection, progress } = options;
  const startedAtMs = performance.now();
  const journal = new Journal(plans);
  const book = new LogBook({
    api,
    projectId: connection.projectId,
    url: webhook?.url ?? "",
    from: new Date(Date.now() - clockSlackMs),
    isOfRun: (sessionId) => journal.sessions.has(sessionId),
  });
  const wire =
    reader === null ? null : new Wire((id) => journal.sessions.get(id)?.plan, connection.projectId);
  const follower = reader === null || wire === null ? null : new WireFollower(reader, wire);
  try {
    await playAll(api, journal, options);
    const subscribed = webhook?.events ?? [];
    if (webhook !== null) await waitForDeliveries(journal, book, subscribed, options);
    await lastRead(book, follower, webhook);
    const rows = [...book.rows.values()];
    const faults = check({ sessions: journal.sessions.values(), subscribed, rows, wire });
    const durationMs = performance.now() - startedAtMs;
    return summarize({ ...options, durationMs, journal, subscribed, rows, wire, faults });
  } finally {
    progress.end();
    await follower?.cancel();
  }
}

async function playAll(api: Api, journal: Journal, options: SimulationOptions): Promise<void> {
  const { plans, progress } = options;
  let played = 0;
  progress.begin("playing sessions", plans.length);
  const { projectId } = options.connection;
  const onPlayed = (): void => {
    played += 1;
    progress.at(played);
  };
  await play(plans, journal, { ...options, api, projectId, onPlayed });
  const records = [...journal.sessions.values()];
  if (records.length > 0 && records.every(knownBefore)) {
    throw new CommandFailure(
      `The server knew all ${records.length} sessions before this run, so nothing is owed. Leave --keep-ids out, or use a new data folder.`,
    );
  }
}

async function waitForDeliveries(
  journal: Journal,
  book: LogBook,
  subscribed: readonly AgentEvent[],
  options: SimulationOptions,
): Promise<void> {
  const owed = new Set<string>();
  for (const [sessionId, record] of journal.sessions) {
    if (knownBefore(record)) continue;
    for (const event of eventsCertain(record)) {
      if (subscribed.includes(event)) owed.add(deliveryKey(sessionId, event));
    }
  }
  options.progress.begin("settling deliveries", owed.size);
  await settle(owed, book, {
    limitMs: options.settleLimitMs,
    onSettled: (count) => options.progress.at(count),
  });
}

/** The wire first: what arrived has its row by the time the log is read, as all deliveries have settled. */
async function lastRead(
  book: LogBook,
  follower: WireFollower | null,
  webhook: Webhook | null,
): Promise<void> {
  const away = (): never => {
    throw new CommandFailure("The server went away before the deliveries could be checked.");
  };
  const wireRead = await unlessAway(async () => follower?.finish());
  const logRead = webhook === null || (await unlessAway(() => book.readAll()));
  if (!wireRead || !logRead) away();
}

async function readWebhook(api: Api, connection: Connection): Promise<Webhook | null> {
  try {
    const answer = await api.request("GET", `/v1/projects/${connection.projectId}/agent`);
    const agent = AgentWebhook.safeParse(dataOf(answer, "The agent"));
    if (!agent.success) throw new CommandFailure(`${connection.apiUrl} does not answer like Sendoff.`);
    const webhook = agent.data.postSessionWebhook;
    return webhook === null ? null : { url: webhook.url, events: webhook.events ?? defaultEvents };
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    throw new CommandFailure(`${error.message}. Start it with npm start.`);
  }
}

/** Whether a webhook leads to the inspector; an old server may have stored the URL that reads it, too. */
async function pointsAt(webhook: Webhook, inspectorUrl: string): Promise<boolean> {
  const { postUrl } = await import("@sendoff/server");
  return postUrl(new URL(webhook.url).href) === postUrl(new URL(inspectorUrl).href);
}
