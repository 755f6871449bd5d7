import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { type ColumnType, column } from "../src/database/columns.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

/** What PostgreSQL makes of a column, each value as its text. */
async function seen(type: ColumnType, values: readonly unknown[]): Promise<Array<string | null>> {
  const { rows } = await database.pool.query<{ text: string | null }>(
    `SELECT value::text AS text FROM unnest($1::${type}[]) WITH ORDINALITY AS input (value, position) ORDER BY position`,
    [column(type, values as never)],
  );
  return rows.map(({ text }) => text);
}

/** What PostgreSQL makes of the same values when pg writes them. */
async function seenAsText(type: ColumnType, values: readonly unknown[]): Promise<Array<string | null>> {
  const { rows } = await database.pool.query<{ text: string | null }>(
    `SELECT value::text AS text FROM unnest($1::${type}[]) WITH ORDINALITY AS input (value, position) ORDER BY position`,
    [values],
  );
  return rows.map(({ text }) => text);
}

const anything: Record<ColumnType, fc.Arbitrary<unknown>> = {
  bigint: fc.maxSafeInteger(),
  int: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  smallint: fc.integer({ min: -(2 ** 15), max: 2 ** 15 - 1 }),
  boolean: fc.boolean(),
  real: fc.float({ noNaN: true, noDefaultInfinity: true }),
  "double precision": fc.double({ noNaN: true, noDefaultInfinity: true }),
  timestamptz: fc.date({
    min: new Date("1000-01-01T00:00:00Z"),
    max: new Date("9999-12-31T23:59:59.999Z"),
    noInvalidDate: true,
  }),
  uuid: fc.uuid(),
  bytea: fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
  // PostgreSQL has no NUL in texts; of half a surrogate pair both ways make U+FFFD.
  text: fc.string({ unit: "binary", maxLength: 50 }).map((text) => text.replaceAll("\u0000", "")),
};

describe("columns as binary arrays", () => {
  test.each(Object.keys(anything) as ColumnType[])(
    "%s arrives as when pg writes it as text",
    async (type) => {
      await fc.assert(
        fc.asyncProperty(fc.array(fc.option(anything[type]), { maxLength: 20 }), async (values) => {
          expect(await seen(type, values)).toEqual(await seenAsText(type, values));
        }),
        { numRuns: 60 },
      );
    },
  );

  test("-0 is stored as 0", async () => {
    expect(await seen("real", [-0, 0])).toEqual(["0", "0"]);
    expect(await seen("double precision", [-0, 0])).toEqual(["0", "0"]);
  });

  test("what stands in array literals and JSON passes untouched", async () => {
    const values = ['{"a":"b\\"c"}', "NULL", "null", "", "{}", ",", "\\", "\u001e\u001f", "\n\t", "é€😀"];
    expect(await seen("text", values)).toEqual(values);
  });

  test("values of any length, after and before short ones", async () => {
    const values = ["a", "é".repeat(200_000), "b", "x".repeat(1_000_000), "c"];
    expect(await seen("text", values)).toEqual(values);
    const bytes = values.map((value) => Buffer.from(value));
    expect(await seen("bytea", bytes)).toEqual(bytes.map((value) => `\\x${value.toString("hex")}`));
    const many = Array.from({ length: 50_000 }, (_, index) => index);
    expect(await seen("int", many)).toEqual(many.map(String));
  });

  test("a whole number that does not fit is refused, not cut", () => {
    expect(() => column("smallint", [32_768])).toThrow(new RangeError("32768 is no 16-bit integer"));
    expect(() => column("int", [2 ** 31])).toThrow(RangeError);
    expect(() => column("int", [1.5])).toThrow(RangeError);
    expect(() => column("bigint", [2 ** 53])).toThrow(RangeError);
  });

  test("a NUL in a text is refused by PostgreSQL, as it is in any other parameter", async () => {
    await expect(seen("text", ["a\u0000b"])).rejects.toMatchObject({ code: "22021" });
  });
});
