/**
 * A cell of a CSV file (RFC 4180). What a spreadsheet would take for a formula gets an apostrophe in front: a stranger's
 * variable must not run in the program of who opens the file.
 */
export function csvCell(value: string | number | boolean | null): string {
  if (value === null) return "";
  const text = String(value);
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** A line of a CSV file with its end. */
export const csvLine = (cells: ReadonlyArray<string | number | boolean | null>): string =>
  `${cells.map(csvCell).join(",")}\r\n`;
