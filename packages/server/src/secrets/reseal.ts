import type pg from "pg";
import { type Sealer, sealedWith } from "./seal.ts";

/** Sealed values that are read in one statement. */
const pageRows = 500;

/** A column of sealed values. */
interface SealedColumn {
  readonly table: string;
  readonly column: string;
}

/** What a table has, and where the row stands. */
interface SealedRow {
  readonly at: string;
  readonly sealed: string;
}

/**
 * Every column of sealed values: those whose name ends in `_sealed`. The name is the rule, so a column that is added
 * later is found too.
 */
async function sealedColumns(pool: pg.Pool): Promise<SealedColumn[]> {
  const { rows } = await pool.query<SealedColumn>(
    `SELECT quote_ident(table_name) AS "table", quote_ident(column_name) AS "column"
     FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
     WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' AND data_type = 'text'
       AND column_name LIKE '%_sealed'
     ORDER BY 1, 2`,
  );
  return rows;
}

/** The sealed values of a column, in pages, with where each stands. */
async function* sealedValues(pool: pg.Pool, { table, column }: SealedColumn): AsyncGenerator<SealedRow> {
  let after = "(0,0)";
  for (;;) {
    const { rows } = await pool.query<SealedRow>(
      `SELECT ctid::text AS at, ${column} AS sealed FROM ${table}
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
    for await (const { sealed } of sealedValues(pool, column)) keyIds.add(sealedWith(sealed).keyId);
  }
  return keyIds;
}

/**
 * Seals anew, with the sealer's key, what is sealed with another. Each value is replaced only where it still stands as
 * it was read, so it may run beside everything else, in several processes at once.
 *
 * @returns how many values were sealed anew, and how many could not be: they changed meanwhile, and the next look finds
 * them.
 * @throws Error when a value needs a key that the sealer does not have.
 */
export async function reseal(pool: pg.Pool, sealer: Sealer): Promise<{ resealed: number; left: number }> {
  let resealed = 0;
  let left = 0;
  for (const { table, column } of await sealedColumns(pool)) {
    for await (const { at, sealed } of sealedValues(pool, { table, column })) {
      const { keyId, place } = sealedWith(sealed);
      if (keyId === sealer.keyId) continue;
      const fresh = await sealer.seal(place, await sealer.open(place, sealed));
      const { rowCount } = await pool.query(
        `UPDATE ${table} SET ${column} = $3 WHERE ctid = $1::tid AND ${column} = $2`,
        [at, sealed, fresh],
      );
      if (rowCount === 1) resealed++;
      else left++;
    }
  }
  return { resealed, left };
}
