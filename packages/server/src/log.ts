import { type Logger, pino } from "pino";

export type { Logger } from "pino";

/**
 * One wide line of JSON per operation, with a dotted name in `event` (`report.batch_committed`,
 * `delivery.attempted`). The names are a contract; no line carries a key, a header's value or a body.
 */
export function createLog(level: string, destination?: { write(line: string): void }): Logger {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, messageKey: "message" };
  return destination === undefined ? pino(options) : pino(options, destination);
}
