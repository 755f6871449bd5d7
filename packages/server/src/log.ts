import { type Logger, pino } from "pino";

export type { Logger } from "pino";

// JSON leaves these as they are, and a terminal may obey them: the second half of the control characters, among them
// one that begins an ANSI sequence, line separators, and what turns the direction of text.
const unsafe = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** The same JSON with what a terminal may obey as escapes. */
const inert = (line: string): string =>
  line.replace(unsafe, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);

/**
 * One wide line of JSON per operation, with a dotted name in `event` (`report.batch_committed`,
 * `delivery.attempted`). The names are a contract; no line carries a key, a header's value or a body. Whatever a stranger
 * wrote stays within its line and its text.
 */
export function createLog(level: string, destination?: { write(line: string): void }): Logger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    messageKey: "message",
    hooks: { streamWrite: inert },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}
