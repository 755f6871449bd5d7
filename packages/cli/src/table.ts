import Table from "cli-table3";
import { visible } from "./visible.ts";

/** Longest text of a cell. */
const cellMax = 80;

/** Rows under headings, as text for people. Every cell is a stranger's text: shown, never obeyed. */
export function tableText(
  headings: readonly string[],
  rows: readonly (readonly (string | number | null)[])[],
): string {
  const none = { mid: "", "left-mid": "", "mid-mid": "", "right-mid": "" };
  const edges = { top: "", "top-mid": "", "top-left": "", "top-right": "", bottom: "", "bottom-mid": "" };
  const sides = { "bottom-left": "", "bottom-right": "", left: "", right: "", middle: "  " };
  const table = new Table({
    head: [...headings],
    chars: { ...none, ...edges, ...sides },
    // Colours of its own would be written to files too.
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
  });
  for (const row of rows) table.push(row.map((cell) => visible(cell === null ? "" : String(cell), cellMax)));
  return `${table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n")}\n`;
}
