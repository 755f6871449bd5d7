/** Most bytes of the rows of a page, but for a first row that is larger by itself. */
export const pageBytesMax = 1024 * 1024;

/** What {@link numberedSql} adds for the one who reads the page. */
export interface Numbered {
  /** How many rows there were before the page was cut. */
  readonly candidates: number;
}

/**
 * SQL of a relation: rows in order, each with `candidates` and with `page_number`, and `page_bytes` that it and those before
 * it come to.
 *
 * @param rows a statement that gives the rows, with a LIMIT.
 * @param bytes the size of a row in the answer, as an expression on `candidate`. The length of a text is known without
 * reading the text.
 */
export const numberedSql = (rows: string, bytes: string, order: string): string =>
  `(SELECT candidate.*, count(*) OVER () AS candidates, row_number() OVER page AS page_number,
      sum(${bytes}) OVER page AS page_bytes
    FROM (${rows}) AS candidate WINDOW page AS (ORDER BY ${order} ROWS UNBOUNDED PRECEDING))`;

/** The condition under which a numbered row is within the bytes of a page: PostgreSQL sends no others. */
export const withinPageSql = `(page_number = 1 OR page_bytes <= ${pageBytesMax})`;
