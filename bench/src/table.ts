/** A table to print: a title, column names, and rows of cells. */
export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: ReadonlyArray<ReadonlyArray<string | number>>;
}

const isNumber = (cell: string): boolean => /^-?[\d.]+$/.test(cell);

/** The table as text; columns of numbers are flush right, but for the first. */
export function formatTable({ title, columns, rows }: Table): string {
  const cells = [columns, ...rows].map((row) => row.map(String));
  const isRight = columns.map((_, column) => column > 0 && cells.some((row) => isNumber(row[column] ?? "")));
  const widths = columns.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const lines = cells.map((row) =>
    row
      .map((cell, column) =>
        isRight[column] === true ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join("  "),
  );
  const rule = widths.map((width) => "-".repeat(width)).join("  ");
  return [title, lines[0], rule, ...lines.slice(1)].join("\n");
}
