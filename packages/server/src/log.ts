import { type Logger, type LoggerOptions, pino } from "pino";

export type { Logger } from "pino";

// JSON leaves these as they are, and a terminal may obey them: the second half of the control characters, among them
// one that begins an ANSI sequence, line separators, and what turns the direction of text.
const unsafe = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** The same JSON with what a terminal may obey as escapes. */
const inert = (line: string): string =>
  line.replace(unsafe, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** Of lines that tell of the same failure one is written each second, in milliseconds. */
const repeatMs = 1_000;
/** So many different failures are told apart within a second; what comes on top of them is told apart by its event alone. */
const failuresMax = 1_000;
const warnLevel = 40;

interface Repeated {
  count: number;
  /** Writes the last of the lines that were held back. */
  write: (count: number) => void;
}

/**
 * Holds back what repeats: while PostgreSQL is away the same failure happens a thousand times a second. The first line is
 * written at once; after each second with more of the same, the last of them, with their number as `repeated`. Lines
 * with a `requestId` are all written: somebody was told that id.
 */
function createRepeatFilter(): NonNullable<NonNullable<LoggerOptions["hooks"]>["logMethod"]> {
  const failures = new Map<string, Repeated>();
  const keyOf = (fields: { event?: unknown; reason?: unknown }): string => {
    const reason = String(fields.reason).split("\n", 1)[0];
    const key = `${String(fields.event)} ${reason}`;
    return failures.has(key) || failures.size < failuresMax ? key : String(fields.event);
  };
  const hold = (key: string): void => {
    const timer = setTimeout(() => {
      const { count, write } = failures.get(key) as Repeated;
      failures.delete(key);
      if (count === 0) return;
      hold(key);
      write(count);
    }, repeatMs);
    timer.unref();
    failures.set(key, { count: 0, write: () => {} });
  };
  return function (this: Logger, args, method, level) {
    const [fields] = args as unknown as [unknown];
    if (level < warnLevel || typeof fields !== "object" || fields === null) return method.apply(this, args);
    if (!("reason" in fields) || "requestId" in fields) return method.apply(this, args);
    const key = keyOf(fields);
    const failure = failures.get(key);
    if (failure === undefined) {
      hold(key);
      return method.apply(this, args);
    }
    failure.count += 1;
    failure.write = (repeated) => method.apply(this, [{ ...fields, repeated }] as unknown as typeof args);
  };
}

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
    hooks: { streamWrite: inert, logMethod: createRepeatFilter() },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}
