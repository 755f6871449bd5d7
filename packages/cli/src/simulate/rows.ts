import { readFileSync } from "node:fs";
import {
  type CallStatus,
  CallStatus as CallStatusSchema,
  type Channel,
  Channel as ChannelSchema,
  SessionId,
} from "@sendoff/contract";
import { CommandFailure } from "../io.ts";

/** One recorded session: a line of a sessions file. */
export interface SessionRow {
  readonly id: string;
  readonly kind: Channel;
  /** null where a call left no log: nobody is known to have spoken. */
  readonly messagesCount: number | null;
  readonly currentNodeId: string | null;
  readonly nodePath: readonly string[];
  readonly extractedVariables: Readonly<Record<string, unknown>>;
  /** Seconds; null where it is not known. */
  readonly callDuration: number | null;
  readonly callStatus: CallStatus | null;
  readonly recorded: boolean;
  /** Seconds of audio; null where there is none or it is not known. */
  readonly recordingSeconds: number | null;
}

/** The demo sessions that come with the package. */
export const demoFile = new URL("../../demo/sessions.jsonl", import.meta.url);

/** Reads a sessions file: one JSON object a line. @throws {CommandFailure} that names the line. */
export function readRows(file: string | URL): SessionRow[] {
  const name = file instanceof URL ? file.pathname : file;
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new CommandFailure(
      `${name} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  const rows = text
    .split("\n")
    .map((line, index) => ({ line: line.trim(), at: `${name}, line ${index + 1}` }))
    .filter(({ line }) => line !== "")
    .map(({ line, at }) => parseRow(line, at));
  if (rows.length === 0) throw new CommandFailure(`${name} holds no sessions.`);
  const ids = new Set<string>();
  for (const { id } of rows) {
    if (ids.has(id)) throw new CommandFailure(`${name} has the session ${id} twice.`);
    ids.add(id);
  }
  return rows;
}

/** One line of a sessions file. Fields that are not named here are of no interest. */
export function parseRow(line: string, at: string): SessionRow {
  const wrong = (field: string, expected: string): CommandFailure =>
    new CommandFailure(`${at}: ${field} must be ${expected}.`);
  const row = objectOf(parsed(line));
  if (row === null) throw wrong("the line", "a JSON object");
  const id = SessionId.safeParse(row.id);
  if (!id.success) throw wrong("id", "1 to 128 characters of A-Z a-z 0-9 . _ : -");
  const kind = ChannelSchema.safeParse(row.kind);
  if (!kind.success) throw wrong("kind", '"call" or "text"');
  const status = row.callStatus === undefined ? null : CallStatusSchema.safeParse(row.callStatus);
  if (status?.success === false) throw wrong("callStatus", "one of the 14 call statuses");
  const messagesCount = numberOf(row.messagesCount);
  if (messagesCount !== null && !Number.isSafeInteger(messagesCount))
    throw wrong("messagesCount", "a whole number");
  const recording = objectOf(row.recording);
  return {
    id: id.data,
    kind: kind.data,
    messagesCount: messagesCount ?? (kind.data === "text" ? 0 : null),
    currentNodeId: stringOf(row.currentNodeId),
    nodePath: Array.isArray(row.nodePath) ? row.nodePath.filter((node) => typeof node === "string") : [],
    extractedVariables: objectOf(row.extractedVariables) ?? {},
    callDuration: numberOf(row.callDuration),
    callStatus: status?.data ?? null,
    recorded: recording?.available === true,
    recordingSeconds: numberOf(recording?.seconds),
  };
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

const objectOf = (value: unknown): Readonly<Record<string, unknown>> | null =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : null;
const numberOf = (value: unknown): number | null =>
  typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : null;
const stringOf = (value: unknown): string | null =>
  typeof value === "string" && value !== "" ? value : null;
