import type { Lane } from "./lane.ts";

/** Where something may be due now. Hints get lost; what is due is found without them, only later. */
export interface Hint {
  readonly endpointId: string;
  /** The lane of this session had an unsettled delivery: it must be brought up first. null: nothing of the kind. */
  readonly sessionKey: number | null;
}

/** SQL of a hint as text. Without the key of a session: what is due of the endpoint. It takes 57 bytes at most. */
export const hintSql = (endpointId: string, sessionKey: string): string =>
  `${endpointId} || coalesce(' ' || ${sessionKey}, '')`;

/** Hints from the text of a NOTIFY: what {@link hintSql} made of each, with commas between them. */
export function parseHints(text: string): Hint[] {
  if (text === "") return [];
  return text.split(",").map((hint) => {
    const [endpointId = "", sessionKey] = hint.split(" ");
    return { endpointId, sessionKey: sessionKey === undefined ? null : Number(sessionKey) };
  });
}

/**
 * Hints of a NOTIFY. A commit's begin with who sent them: its own process knows them already, from the commit's answer.
 *
 * @param ownId names this process in claims.
 */
export function noticedHints(text: string, ownId: string): Hint[] {
  const [sender, hints] = text.includes(":") ? text.split(":") : [null, text];
  return sender === ownId ? [] : parseHints(hints ?? "");
}

/** Of these hints the lanes. */
export function lanesOf(hints: readonly Hint[]): Lane[] {
  return hints.flatMap(({ endpointId, sessionKey }) =>
    sessionKey === null ? [] : [{ endpointId, sessionKey }],
  );
}
