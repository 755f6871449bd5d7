import { type EventName, withRecordingUrl } from "@sendoff/contract";
import type pg from "pg";
import { Filters } from "../database/filters.ts";
import { JsonText } from "../json-text.ts";
import { type Horizon, startedSql } from "./horizon.ts";
import { cursorOf, type FeedCursor, type FeedPosition } from "./position.ts";

/** Which events of a project are wanted. */
export interface FeedFilter {
  /** null: all. */
  readonly events: readonly EventName[] | null;
  readonly sessionId: string | null;
}

/** One event as it is answered. */
export interface FeedItem {
  /** The cursor right behind it. */
  readonly id: string;
  readonly event: EventName;
  readonly sessionId: string;
  readonly webhookId: string;
  readonly emittedAt: string;
  /** The body that endpoints get, byte for byte; null when the session was erased. */
  readonly payload: JsonText | null;
}

export interface FeedPage {
  readonly items: readonly FeedItem[];
  /** From where to go on. */
  readonly next: FeedCursor;
  /** Nothing more is there at this moment. */
  readonly caughtUp: boolean;
}

/** Makes a link to a recording's audio. */
export type MintLink = (objectKey: string) => Promise<{ readonly url: string }>;

/** Most events that one read looks at when it filters by name: a rare name must not make it read a whole project. */
const examinedMax = 5_000;
/** Most bytes of payloads in a page, but for a first event that is larger by itself. */
const pageBytesMax = 1024 * 1024;

interface Row {
  /** When the PostgreSQL that answered was started. */
  readonly started: number;
  readonly examined: number;
  readonly matched: number;
  readonly lastTransaction: number | null;
  readonly lastEventId: number | null;
  /** null: no event of the page. */
  readonly eventId: number | null;
  readonly transaction: number;
  readonly event: EventName;
  readonly sessionId: string;
  readonly webhookId: string;
  readonly emittedAt: Date;
  readonly payload: string | null;
  readonly recordingObjectKey: string | null;
}

/**
 * The events behind a position and below the horizon, in order.
 *
 * @returns null when another PostgreSQL answered than the one of the horizon: its numbers are others.
 */
export async function readPage(
  pool: pg.Pool,
  horizon: Horizon,
  mint: MintLink,
  projectId: string,
  filter: FeedFilter,
  after: FeedPosition,
  limit: number,
): Promise<FeedPage | null> {
  const { epoch } = horizon;
  const examine = filter.events === null ? limit : Math.max(examinedMax, limit);
  const rows = await select(pool, horizon, projectId, filter, after, limit, examine);
  const summary = rows[0] as Row;
  if (summary.started !== horizon.started) return null;
  const found = rows.filter((row) => row.eventId !== null);
  const items = await Promise.all(found.map((row) => itemOf(row, epoch, mint)));
  const last = found.at(-1);
  // Cut by the limit or by the bytes: what was looked at further on is looked at again.
  const cut = last !== undefined && summary.matched > found.length;
  const next =
    cut || summary.lastTransaction === null
      ? last && positionOfRow(last)
      : { transaction: summary.lastTransaction, eventId: summary.lastEventId ?? 0 };
  return { items, next: { ...(next ?? after), epoch }, caughtUp: !cut && summary.examined < examine };
}

async function select(
  pool: pg.Pool,
  horizon: Horizon,
  projectId: string,
  filter: FeedFilter,
  after: FeedPosition,
  limit: number,
  examine: number,
): Promise<Row[]> {
  const filters = new Filters()
    .add("project_id = ?", projectId)
    .add("transaction_number < ?", horizon.before);
  filters.add(`(transaction_number, event_id) > (?, ${filters.parameter(after.eventId)})`, after.transaction);
  if (filter.sessionId !== null) {
    const project = filters.parameter(projectId);
    filters.add(
      `session_key = (SELECT session_key FROM sessions WHERE project_id = ${project} AND session_id = ?)`,
      filter.sessionId,
    );
  }
  const named = filter.events === null ? "true" : `event = ANY (${filters.parameter(filter.events)})`;
  const { rows } = await pool.query<Row>(
    `WITH examined AS (
       SELECT event_id, transaction_number, session_key, event, webhook_id, emitted_at, payload
       FROM events ${filters.where}
       ORDER BY transaction_number, event_id LIMIT ${filters.parameter(examine)}
     ), matched AS (
       SELECT examined.*, row_number() OVER feed AS number, sum(coalesce(octet_length(payload), 0)) OVER feed AS bytes
       FROM examined WHERE ${named} WINDOW feed AS (ORDER BY transaction_number, event_id)
     ), summary AS (
       SELECT ${startedSql} AS started, (SELECT count(*) FROM examined) AS examined, (SELECT count(*) FROM matched) AS matched,
         last.transaction_number AS "lastTransaction", last.event_id AS "lastEventId"
       FROM (SELECT) AS one LEFT JOIN LATERAL (
         SELECT transaction_number, event_id FROM examined
         ORDER BY transaction_number DESC, event_id DESC LIMIT 1) AS last ON true
     )
     SELECT summary.*, page.* FROM summary LEFT JOIN (
       SELECT matched.event_id AS "eventId", matched.transaction_number AS transaction, matched.event,
         sessions.session_id AS "sessionId", matched.webhook_id AS "webhookId", matched.emitted_at AS "emittedAt",
         matched.payload,
         CASE WHEN matched.event = 'recording.ready' THEN sessions.recording_object_key END AS "recordingObjectKey"
       FROM matched JOIN sessions USING (session_key)
       WHERE number <= ${filters.parameter(limit)} AND (number = 1 OR bytes <= ${pageBytesMax})) AS page ON true
     ORDER BY page.transaction, page."eventId"`,
    filters.values,
  );
  return rows;
}

const positionOfRow = (row: Row): FeedPosition => ({
  transaction: row.transaction,
  eventId: row.eventId ?? 0,
});

async function itemOf(row: Row, epoch: number | null, mint: MintLink): Promise<FeedItem> {
  return {
    id: cursorOf({ ...positionOfRow(row), epoch }),
    event: row.event,
    sessionId: row.sessionId,
    webhookId: row.webhookId,
    emittedAt: row.emittedAt.toISOString(),
    payload: row.payload === null ? null : new JsonText(await payloadOf(row.payload, row, mint)),
  };
}

/** The body as an endpoint gets it: the link to a recording is minted now, as it is for an attempt. */
async function payloadOf(payload: string, row: Row, mint: MintLink): Promise<string> {
  if (row.recordingObjectKey === null) return payload;
  return withRecordingUrl(payload, (await mint(row.recordingObjectKey)).url);
}
