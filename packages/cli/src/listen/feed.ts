import { setTimeout as sleep } from "node:timers/promises";
import { ErrorBody, type ErrorCode, FeedEvent } from "@sendoff/contract";
import { createParser } from "eventsource-parser";
import { Agent, request } from "undici";
import { Api, errorSentence } from "../api.ts";
import type { Connection } from "../connection.ts";
import { CommandFailure } from "../io.ts";
import { ask, pageOf, queryOf } from "../paged.ts";
import { isPassing } from "../patience.ts";
import { rawMember } from "./raw-member.ts";

/** One event of the feed, with its body as text. */
export interface FeedItem {
  /** The cursor right behind it. */
  readonly id: string;
  readonly event: string;
  readonly sessionId: string;
  readonly webhookId: string;
  /** null: the session was erased. */
  readonly body: string | null;
}

/** Which events to follow, and from where. */
export interface FeedOptions {
  readonly connection: Connection;
  readonly events: readonly string[];
  /** Goes on right behind it; null: from `from`. */
  readonly cursor: string | null;
  /** `now`, `oldest` or a moment. */
  readonly from: string;
  readonly signal: AbortSignal;
  /** Told once, when the first stream is open: what happens from now on comes. */
  readonly onOpen: () => void;
  /** Told when the server is away, and when it is back. */
  readonly onAway: (reason: string) => void;
  readonly onBack: () => void;
  /** Told when the server's database has lost what the cursor was behind, and why and from where it goes on. */
  readonly onMoved: (sentence: string) => void;
}

/** A stream without a comment or an event for so long is dead: the server writes each 15 s. In ms. */
const silenceMaxMs = 45_000;
const firstWaitMs = 200;
const longestWaitMs = 5_000;

const Item = FeedEvent.pick({ event: true, sessionId: true, webhookId: true });
const Begun = FeedEvent.pick({ emittedAt: true });

/** Where a stream begins: right behind a cursor, with a moment's first event, or (neither) with the oldest one. */
interface Place {
  readonly cursor?: string;
  readonly from?: string;
}

/**
 * The events of a project, live, until the signal is aborted. A stream that breaks is opened again right behind the last
 * event that was handed over, so none is lost and none comes twice; but for a failover or a restore of the server's
 * database, after which events may come again.
 *
 * @throws {CommandFailure} for what another try cannot change: a wrong key, project or cursor.
 */
export async function* followFeed(options: FeedOptions): AsyncGenerator<FeedItem> {
  const { signal } = options;
  let at = await firstPlace(options);
  let tries = 0;
  let away = false;
  let opened = false;
  const agent = new Agent({ bodyTimeout: silenceMaxMs, headersTimeout: 20_000, connect: { timeout: 5_000 } });
  try {
    while (!signal.aborted) {
      let waitMs = Math.min(longestWaitMs, firstWaitMs * 2 ** tries);
      try {
        for await (const item of oneStream(options, at, agent)) {
          tries = 0;
          if (item === "open") {
            if (!opened) options.onOpen();
            else if (away) options.onBack();
            opened = true;
            away = false;
            continue;
          }
          yield item;
          at = { cursor: item.id };
        }
        // A stream that ends well is one whose time is over, or whose server is ending.
        waitMs = firstWaitMs;
      } catch (error) {
        if (signal.aborted) break;
        if (error instanceof CommandFailure) throw error;
        if (error instanceof Moved) {
          options.onMoved(error.message);
          at = error.to;
          continue;
        }
        if (error instanceof Busy) waitMs = error.waitMs ?? waitMs;
        if (!away) options.onAway(error instanceof Error ? error.message : String(error));
        away = true;
        tries += 1;
      }
      await sleep(waitMs, undefined, { signal }).catch(() => {});
    }
  } finally {
    await agent.destroy();
  }
}

class Busy extends Error {
  readonly waitMs: number | null;

  constructor(message: string, waitMs: number | null) {
    super(message);
    this.waitMs = waitMs;
  }
}

class Moved extends Error {
  readonly to: Place;

  constructor(message: string, to: Place) {
    super(message);
    this.to = to;
  }
}

/** Where to go on when the server says that it has lost what the cursor was behind; null: it says something else. */
function movedTo(body: unknown): Place | null {
  const parsed = ErrorBody.safeParse(body);
  const lost: ErrorCode = "cursor_gone";
  if (!parsed.success || parsed.data.error.code !== lost) return null;
  const from = parsed.data.error.details.find(({ path }) => path === "from")?.message;
  return from === undefined ? {} : { from };
}

async function* oneStream(
  { connection, events, signal }: FeedOptions,
  at: Place,
  agent: Agent,
): AsyncGenerator<FeedItem | "open"> {
  const query = queryOf({ event: events.join(","), from: at.from });
  const response = await request(`${connection.apiUrl}${feedPath(connection)}${query}`, {
    dispatcher: agent,
    signal,
    headers: {
      accept: "text/event-stream",
      authorization: `Bearer ${connection.key}`,
      ...(at.cursor === undefined ? {} : { "last-event-id": at.cursor }),
    },
  });
  if (response.statusCode !== 200) {
    const body = await json(response.body);
    const sentence = errorSentence({ status: response.statusCode, body });
    const moved = at.cursor === undefined ? null : movedTo(body);
    if (moved !== null) throw new Moved(sentence, moved);
    if (!isPassing(response.statusCode)) throw new CommandFailure(`The events cannot be read: ${sentence}`);
    const after = Number(response.headers["retry-after"]);
    throw new Busy(sentence, Number.isFinite(after) ? after * 1_000 : null);
  }
  yield "open";
  const ready: FeedItem[] = [];
  const parser = createParser({
    onEvent({ id, data }) {
      if (id !== undefined && id !== "") ready.push(itemOf(id, data));
    },
  });
  const decoder = new TextDecoder();
  for await (const chunk of response.body) {
    parser.feed(decoder.decode(chunk as Buffer, { stream: true }));
    for (let item = ready.shift(); item !== undefined; item = ready.shift()) yield item;
  }
}

function itemOf(id: string, data: string): FeedItem {
  const item = Item.safeParse(JSON.parse(data));
  const body = rawMember(data, "payload");
  if (!item.success || body === null) {
    throw new CommandFailure(
      "An event is not what this version of sendoff expects. Is the server of another version?",
    );
  }
  return { id, ...item.data, body: body === "null" ? null : body };
}

/**
 * `now` is made a cursor at once: a stream that breaks before its first event would else begin anew later, and what
 * happened in between would be lost.
 */
async function firstPlace({ connection, cursor, from }: FeedOptions): Promise<Place> {
  if (cursor !== null) return { cursor };
  if (from === "oldest") return {};
  if (from !== "now") return { from };
  const api = new Api(connection.apiUrl, connection.key, 1);
  try {
    const answer = await ask(api, "GET", `${feedPath(connection)}${queryOf({ from, limit: 1 })}`);
    const page = pageOf(answer, Begun.array(), "The feed");
    const first = page.items[0];
    // An event came between now and the reading: the page's cursor is behind it.
    if (first !== undefined) return { from: first.emittedAt };
    if (page.nextCursor !== null) return { cursor: page.nextCursor };
    throw new CommandFailure(`${connection.apiUrl} does not answer like Sendoff.`);
  } finally {
    await api.close();
  }
}

const feedPath = ({ projectId }: Connection): string => `/v1/projects/${projectId}/events`;

async function json(body: { json(): Promise<unknown> }): Promise<unknown> {
  try {
    return await body.json();
  } catch {
    return null;
  }
}
