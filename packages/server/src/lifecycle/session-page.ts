import type { ListedSession, OmittedValue } from "@sendoff/contract";
import type pg from "pg";
import { type Numbered, numberedSql, withinPageSql } from "../database/page-bytes.ts";
import { JsonText } from "../json-text.ts";
import { audioOf, audioSql, type SessionAnswer, viewSession } from "./read.ts";
import { sessionColumns, sessionOf } from "./store.ts";

/** Behind which session a page begins: its creation in microseconds since 1970, and its key. */
export type Place = readonly [microseconds: number | string, key: number | string];

/** A session in a list: null stands for variables that were left out, of which `omitted` tells. */
export type ListedAnswer = Omit<SessionAnswer, "extractedVariables"> & {
  readonly extractedVariables: JsonText | null;
  readonly omitted?: ListedSession["omitted"];
};

/** A row of a page. */
export type PageRow = Record<string, unknown> &
  Numbered & { readonly session_key: number; readonly place: number };

export const placeSql = "(extract(epoch FROM created_at) * 1000000)::bigint AS place";
export const newestFirst = "created_at DESC, session_key DESC";

/** Values that may be large, with the bytes of each in a row, and their names in the API. */
const values = [
  { column: "extracted_variables", field: "extractedVariables" },
  { column: "variables", field: "variables" },
  { column: "late_conversation", field: "late.conversation" },
] as const satisfies ReadonlyArray<{ column: string; field: OmittedValue["field"] }>;

/** About what the names and the short fields of a session come to as JSON. */
const frameBytes = 1_000;
/** Texts of a bounded length. */
const texts = ["session_id", "current_node_id", "recording_object_key", "recording_error", "late_call"];
/** A value of so many bytes is answered even where a page has no room for large ones. */
const smallBytesMax = 64;

/** How much of sessions a page has. */
export interface PageShape {
  /** Larger values are left out. */
  readonly valueBytesMax: number;
  /**
   * What becomes of rows beyond the bytes of a page: the page ends before them, or they are answered without their values,
   * because their number was promised.
   */
  readonly beyond: "ends" | "without_values";
}

/** Of a list by cursor. */
export const listShape: PageShape = { valueBytesMax: 4_096, beyond: "ends" };
/** Of an export. */
export const wholeShape: PageShape = { valueBytesMax: 2 ** 30, beyond: "ends" };
/** Of a page by number. Existing clients get what they got, as far as the page has room for it. */
export const numberedShape: PageShape = { valueBytesMax: 2 ** 30, beyond: "without_values" };

/**
 * Reads a page of sessions. PostgreSQL leaves out and cuts: what is not answered does not come here either.
 *
 * @param rows a statement that gives rows of `sessions`, with a LIMIT.
 */
export async function readPage(
  pool: pg.Pool,
  rows: string,
  parameters: readonly unknown[],
  shape: PageShape,
  order = newestFirst,
): Promise<PageRow[]> {
  const short = sessionColumns.map(({ name }) => name).filter((name) => !isLarge(name));
  const large = values.flatMap(({ column }) => {
    const room = `CASE WHEN ${withinPageSql} THEN ${shape.valueBytesMax} ELSE ${smallBytesMax} END`;
    return [
      `CASE WHEN octet_length(${column}) <= ${room} THEN ${column} END AS ${column}`,
      `octet_length(${column}) AS ${column}_bytes`,
    ];
  });
  const bytes = [
    String(frameBytes),
    ...texts.map((name) => `coalesce(octet_length(${name}), 0)`),
    ...values.map(
      ({ column }) =>
        `CASE WHEN octet_length(${column}) <= ${shape.valueBytesMax} THEN octet_length(${column}) ELSE 0 END`,
    ),
  ].join(" + ");
  const { rows: page } = await pool.query<PageRow>(
    `SELECT session_key, candidates, ${placeSql}, ${[...short, ...large].join(", ")}, ${audioSql}
     FROM ${numberedSql(rows, bytes, order)} AS sessions
     ${shape.beyond === "ends" ? `WHERE ${withinPageSql}` : ""} ORDER BY page_number`,
    [...parameters],
  );
  return page;
}

const isLarge = (name: string): boolean => values.some(({ column }) => column === name);

/** A row in the form of the API. */
export function listedOf(row: PageRow): ListedAnswer {
  const omitted = values.flatMap(({ column, field }) => {
    const bytes = row[`${column}_bytes`] as number | null;
    return bytes !== null && row[column] === null ? [{ field, bytes }] : [];
  });
  const answer = viewSession(sessionOf(row), audioOf(row));
  if (omitted.length === 0) return answer;
  const extracted = row.extracted_variables as string | null;
  return { ...answer, extractedVariables: extracted === null ? null : new JsonText(extracted), omitted };
}

export const placeOf = (row: Pick<PageRow, "place" | "session_key">): Place => [row.place, row.session_key];
