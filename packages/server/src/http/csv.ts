/** What a spreadsheet takes for the beginning of a formula, also in full width, which it narrows. */
const sign = "[=+\\-@＝＋－＠]";
/** What a spreadsheet may drop before it looks at a cell: quotes, and white space within a line. */
const dropped = "[\"' \\u00a0\\u1680\\u2000-\\u200d\\u202f\\u205f\\u3000\\ufeff]*";
/** A cell that is a formula, or begins with what some take for the beginning of one. */
const formula = new RegExp(`^(?:[\\t\\r\\n]|${dropped}${sign})`);
/**
 * A formula behind what another reading of the file takes for the end of a cell: where the list separator is a semicolon,
 * quotes in the middle of a line do not hold a cell together, and each line break begins a row.
 */
const laterFormula = new RegExp(`([\\t\\r\\n;]${dropped})(?=${sign})`, "g");

/**
 * A cell of a CSV file (RFC 4180). What a spreadsheet would take for a formula gets an apostrophe in front: a stranger's
 * variable must not run in the program of who opens the file.
 */
export function csvCell(value: string | number | boolean | null): string {
  if (value === null) return "";
  const text = String(value);
  if (typeof value !== "string") return text;
  const inert = text.replace(laterFormula, "$1'");
  const safe = formula.test(inert) ? `'${inert}` : inert;
  return /[",;\t\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** A line of a CSV file with its end. */
export const csvLine = (cells: ReadonlyArray<string | number | boolean | null>): string =>
  `${cells.map(csvCell).join(",")}\r\n`;
