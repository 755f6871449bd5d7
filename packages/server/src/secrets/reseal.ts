import type pg from "pg";
import { type Sealer, sealedWith } from "./seal.ts";

/** Rows that are read in one statement. */
const pageRows = 500;

/** A column of sealed values: one in a row, or a list of them. */
interface SealedColumn {
  readonly table: string;
  readonly column: string;
  readonly isList: boolean;
}

/** What a row has, and where it stands. */
interface SealedRow {
  readonly at: string;
  readonly sealed: readonly string[];
}

/**
 * Every column of sealed values: those whose name ends in `_sealed`. The name is the rule, so a column that is added
 * later is found too.
 */
async function sealedColumns(pool: pg.Pool): Promise<SealedColumn[]> {
  const { rows } = await pool.query<SealedColumn>(
    `SELECT quote_ident(table_name) AS "table", quote_ident(column_name) AS "column", udt_name = '_text' AS "isList"
     FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
     WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' AND udt_name IN ('text', '_text')
       AND column_name LIKE '%\\_sealed'
     ORDER BY 1, 2`,
  );
  return rows;
}

/** The rows of a column that have sealed values, in pages. */
async function* sealedRows(
  pool: pg.Pool,
  { table, column, isList }: SealedColumn,
): AsyncGenerator<SealedRow> {
  let after = "(0,0)";
  for (;;) {
    const { rows } = await pool.query<SealedRow>(
      `SELECT ctid::text AS at, ${isList ? column : `ARRAY[${column}]`} AS sealed FROM ${table}
       WHERE ctid > $1::tid AND ${column} IS NOT NULL ORDER BY ctid LIMIT ${pageRows}`,
      [after],
    );
    yield* rows;
    const last = rows.at(-1);
    if (rows.length < pageRows || last === undefined) return;
    after = last.at;
  }
}

/** The ids of all keys that some sealed value of the database needs. */
export async function keysInUse(pool: pg.Pool): Promise<Set<string>> {
  const keyIds = new Set<string>();
  for (const column of await sealedColumns(pool)) {
    for await (const { sealed } of sealedRows(pool, column)) {
      for (const value of sealed) keyIds.add(sealedWith(value).keyId);
    }
  }
  return keyIds;
}

/**
 * Seals anew, with the sealer's key, what is sealed with another. Each row is changed only where it still stands as
 * it was read, so it may run beside everything else, in several processes at once.
 *
 * @returns how many rows were sealed anew, and how many could not be: they changed meanwhile, and the next look finds
 * them.
 * @throws Error when a value needs a key that the sealer does not have.
 */
export async function reseal(pool: pg.Pool, sealer: Sealer): Promise<{ resealed: number; left: number }> {
  let resealed = 0;
  let left = 0;
  for (const sealedColumn of await sealedColumns(pool)) {
    for await (const row of sealedRows(pool, sealedColumn)) {
      if (row.sealed.every((value) => sealedWith(value).keyId === sealer.keyId)) continue;
      const fresh = await Promise.all(row.sealed.map((value) => sealAnew(sealer, value)));
      if (await replace(pool, sealedColumn, row, fresh)) resealed++;
      else left++;
    }
  }
  return { resealed, left };
}

async function sealAnew(sealer: Sealer, sealed: string): Promise<string> {
  const { keyId, place } = sealedWith(sealed);
  return keyId === sealer.keyId ? sealed : sealer.seal(place, await sealer.open(place, sealed));
}

async function replace(
  pool: pg.Pool,
  { table, column, isList }: SealedColumn,
  { at, sealed }: SealedRow,
  fresh: readonly string[],
): Promise<boolean> {
  const { rowCount } = await pool.query(
    `UPDATE ${table} SET ${column} = $3 WHERE ctid = $1::tid AND ${column} = $2`,
    isList ? [at, sealed, fresh] : [at, sealed[0], fresh[0]],
  );
  return rowCount === 1;
}
