import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  boundJson,
  compactJson,
  elementsOf,
  JsonText,
  membersOf,
  mergeMembers,
  objectText,
  sameJson,
  stringify,
} from "../src/json-text.ts";

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

const oddKeys = ["__proto__", "constructor", "toString", "toJSON", "then", "length", "", "2", "1", "10"];
const oddTexts = [
  '"',
  "\\",
  '\\"',
  ",",
  ":",
  "{",
  "}",
  "[",
  "]",
  " ",
  "\n",
  "\0",
  "\ud800",
  "\udc00",
  "\u2028",
];
const text = fc.oneof(
  fc.constantFrom(...oddTexts, ...oddKeys),
  fc.string({ unit: "binary", maxLength: 6 }),
  fc.array(fc.constantFrom(...oddTexts), { maxLength: 5 }).map((parts) => parts.join("")),
);
const number = fc.oneof(
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (Object.is(value, -0) ? 0 : value)),
);

/** Any JSON value, with keys and texts that trip a scanner. */
const { value: json } = fc.letrec<{ value: Json; object: Record<string, Json> }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(null, true, false),
    number,
    text,
    fc.array(tie("value"), { maxLength: 4 }) as fc.Arbitrary<Json[]>,
    tie("object"),
  ) as fc.Arbitrary<Json>,
  object: fc
    .array(fc.tuple(fc.oneof(fc.constantFrom(...oddKeys), text), tie("value")), { maxLength: 5 })
    .map((entries) => Object.fromEntries(entries) as Record<string, Json>),
}));
const object = fc
  .array(fc.tuple(fc.oneof(fc.constantFrom(...oddKeys), text), json), { maxLength: 6 })
  .map((entries) => Object.fromEntries(entries) as Record<string, Json>);
const gaps = fc.array(fc.constantFrom("", "", " ", "\n", "\t", "\r\n", "   "), {
  minLength: 1,
  maxLength: 9,
});

const isObject = (value: Json): value is { [name: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A value as JSON with white space between its tokens, and its keys in the order or reversed. */
function spaced(value: Json, spaces: readonly string[], reversed = false): string {
  let next = 0;
  const gap = (): string => spaces[next++ % spaces.length] ?? "";
  const write = (item: Json): string => {
    if (Array.isArray(item)) return `[${gap()}${item.map(write).join(`${gap()},${gap()}`)}${gap()}]`;
    if (!isObject(item)) return JSON.stringify(item);
    const names = reversed ? Object.keys(item).reverse() : Object.keys(item);
    const members = names.map(
      (name) => `${gap()}${JSON.stringify(name)}${gap()}:${gap()}${write(item[name] as Json)}${gap()}`,
    );
    return `{${members.join(",")}${gap()}}`;
  };
  return gap() + write(value) + gap();
}

describe("compactJson", () => {
  test("says the same and has no white space outside strings", () => {
    fc.assert(
      fc.property(json, gaps, (value, spaces) => {
        expect(compactJson(spaced(value, spaces))).toBe(spaced(value, [""]));
      }),
      { numRuns: 500 },
    );
  });

  test("leaves numbers, escapes, doubled keys and the order of keys as they came", () => {
    const strange =
      '{ "2" : 9007199254740993 , "1" : [ 1e400 , -0.10E+05 ] , "\\u0041 b" : "\\/ \\u0000" , "1" : 0 }';
    expect(compactJson(strange)).toBe(
      '{"2":9007199254740993,"1":[1e400,-0.10E+05],"\\u0041 b":"\\/ \\u0000","1":0}',
    );
  });
});

describe("membersOf, elementsOf and objectText", () => {
  test("an object's members are its own keys and values, in the order of the text", () => {
    fc.assert(
      fc.property(object, (value) => {
        const members = membersOf(JSON.stringify(value));
        expect([...members.keys()]).toEqual(Object.keys(value));
        for (const [name, member] of members) expect(member).toBe(JSON.stringify(value[name]));
        expect(objectText(members)).toBe(JSON.stringify(value));
      }),
      { numRuns: 500 },
    );
  });

  test("an array's elements are its values", () => {
    fc.assert(
      fc.property(fc.array(json, { maxLength: 6 }), (values) => {
        expect(elementsOf(JSON.stringify(values))).toEqual(values.map((value) => JSON.stringify(value)));
      }),
      { numRuns: 500 },
    );
  });

  test("of a key that stands twice the last value counts, as JSON.parse has it", () => {
    expect([...membersOf('{"a":1,"b":2,"\\u0061":[3,{"a":4}]}')]).toEqual([
      ["a", '[3,{"a":4}]'],
      ["b", "2"],
    ]);
  });

  test("empty ones have none", () => {
    expect(membersOf("{}").size).toBe(0);
    expect(elementsOf("[]")).toEqual([]);
    expect(objectText([])).toBe("{}");
    expect(elementsOf("[[],{}]")).toEqual(["[]", "{}"]);
  });
});

describe("mergeMembers", () => {
  test("is what spreading one object and then the other gives, __proto__ among the keys", () => {
    fc.assert(
      fc.property(object, object, (base, changes) => {
        const merged = JSON.parse(mergeMembers(JSON.stringify(base), JSON.stringify(changes)));
        expect(isDeepStrictEqual(merged, JSON.parse(JSON.stringify({ ...base, ...changes })))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test("replaces a value whole, keeps the first order and the text of each value", () => {
    expect(mergeMembers('{"b":1.0,"2":{"x":1},"1":1e400}', '{"2":{"y":2},"a":9007199254740993}')).toBe(
      '{"b":1.0,"2":{"y":2},"1":1e400,"a":9007199254740993}',
    );
  });

  test("changes nothing of Object when a key is __proto__ or constructor", () => {
    const merged = mergeMembers(
      '{"__proto__":{"admin":true}}',
      '{"constructor":{"prototype":{"admin":true}}}',
    );
    expect(merged).toBe('{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}');
    expect(membersOf(merged).get("__proto__")).toBe('{"admin":true}');
    expect(stringify({ a: new JsonText(merged) })).toBe(`{"a":${merged}}`);
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
    expect(Object.keys(Object.prototype)).toEqual([]);
  });
});

describe("sameJson", () => {
  test("does not mind the order of keys, at any depth", () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(sameJson(spaced(value, [""]), spaced(value, [""], true))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test("is true exactly when the values are deeply equal", () => {
    // Few small values, so that equal pairs and near misses come up often.
    const small = fc.letrec<{ value: Json }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 3 },
        fc.constantFrom<Json>(null, 0, 1, "", "a", true),
        fc.array(tie("value"), { maxLength: 2 }) as fc.Arbitrary<Json>,
        fc
          .array(fc.tuple(fc.constantFrom("a", "b", "__proto__"), tie("value")), { maxLength: 2 })
          .map((entries) => Object.fromEntries(entries) as Json),
      ) as fc.Arbitrary<Json>,
    })).value;
    let equal = 0;
    fc.assert(
      fc.property(small, small, (left, right) => {
        const same = isDeepStrictEqual(left, right);
        if (same) equal += 1;
        expect(sameJson(spaced(left, [""]), spaced(right, [""], true))).toBe(same);
      }),
      { numRuns: 5_000 },
    );
    expect(equal).toBeGreaterThan(20);
  });

  test.each([
    ['{"a":1,"b":2}', '{"a":1,"c":2}'],
    ['{"a":1,"b":2}', '{"a":2,"b":1}'],
    ["[1,2]", "[2,1]"],
    ["[]", "{}"],
    ["9007199254740993", "9007199254740992"],
    ['{"a":"{}"}', '{"a":[{}]}'],
    ['"ab"', '"ba"'],
    ["[1,23]", "[12,3]"],
    // A key that stands twice is one key.
    ['{"a":1,"a":1}', '{"a":1,"b":1}'],
  ])("%s is not %s", (left, right) => {
    expect(sameJson(left, right)).toBe(false);
    expect(sameJson(right, left)).toBe(false);
  });
});

describe("boundJson", () => {
  const bounds = { depthMax: 32, keysMax: 10_000, valuesMax: 50_000, nameMax: 1_024 };
  const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
  const objects = (depth: number): string => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
  const keys = (count: number): string =>
    `{${Array.from({ length: count }, (_, n) => `"k${n}":0`).join(",")}}`;

  test("lets 32 levels through and not 33, of arrays and of objects", () => {
    expect(boundJson(nested(32), bounds)).toBe(null);
    expect(boundJson(nested(33), bounds)).toBe("depthMax");
    expect(boundJson(objects(32), bounds)).toBe(null);
    expect(boundJson(objects(33), bounds)).toBe("depthMax");
    expect(boundJson(`[${`${nested(31)},`.repeat(50)}1]`, bounds)).toBe(null);
  });

  test("lets 10,000 keys through and not one more, wherever they stand", () => {
    expect(boundJson(keys(10_000), bounds)).toBe(null);
    expect(boundJson(keys(10_001), bounds)).toBe("keysMax");
    expect(boundJson(`[${keys(5_000)},${keys(5_000)}]`, bounds)).toBe(null);
    expect(boundJson(`[${keys(5_000)},${keys(5_001)}]`, bounds)).toBe("keysMax");
  });

  test("lets 50,000 values through and not one more, of arrays and of objects", () => {
    const many = { ...bounds, keysMax: 100_000 };
    const ones = (count: number): string => `[${Array(count).fill("1").join(",")}]`;
    expect(boundJson(ones(50_000), many)).toBe(null);
    expect(boundJson(ones(50_001), many)).toBe("valuesMax");
    expect(boundJson(keys(50_000), many)).toBe(null);
    expect(boundJson(keys(50_001), many)).toBe("valuesMax");
    expect(boundJson(`[${Array(30_000).fill("{}").join(",")}]`, many)).toBe("valuesMax");
  });

  test("lets a name of 1,024 characters through and not a longer one, and a string of any length", () => {
    const named = (length: number): string => `[{"a":"${"v".repeat(5_000)}", "${"n".repeat(length)}" : 1}]`;
    expect(boundJson(named(1_024), bounds)).toBe(null);
    expect(boundJson(named(1_025), bounds)).toBe("nameMax");
  });

  test("does not count what stands in strings", () => {
    expect(boundJson(JSON.stringify(nested(50)), bounds)).toBe(null);
    expect(boundJson(JSON.stringify('\\"[{:'.repeat(20_000)), bounds)).toBe(null);
    expect(boundJson(`["\\"",${nested(32)}]`, bounds)).toBe("depthMax");
  });

  test("counts as the parsed value has it", () => {
    const depthOf = (value: Json): number =>
      typeof value !== "object" || value === null ? 0 : 1 + Math.max(0, ...Object.values(value).map(depthOf));
    const keysOf = (value: Json): number =>
      typeof value !== "object" || value === null
        ? 0
        : (Array.isArray(value) ? 0 : Object.keys(value).length) +
          Object.values(value).reduce((sum: number, item: Json) => sum + keysOf(item), 0);
    fc.assert(
      fc.property(json, gaps, (value, spaces) => {
        const input = spaced(value, spaces);
        const depth = depthOf(value);
        const count = keysOf(value);
        expect(boundJson(input, { ...bounds, depthMax: depth, keysMax: count })).toBe(null);
        if (depth > 0)
          expect(boundJson(input, { ...bounds, depthMax: depth - 1, keysMax: count })).toBe("depthMax");
        if (count > 0)
          expect(boundJson(input, { ...bounds, depthMax: depth, keysMax: count - 1 })).toBe("keysMax");
      }),
      { numRuns: 500 },
    );
  });

  test("100,000 open brackets, and a string that never ends, cost one quick pass", () => {
    const startedMs = performance.now();
    expect(boundJson("[".repeat(100_000), bounds)).toBe("depthMax");
    expect(boundJson("[".repeat(100_000), { ...bounds, depthMax: 1e9, valuesMax: 1e9 })).toBe(null);
    expect(boundJson(`"${"\\".repeat(999_999)}`, bounds)).toBe(null);
    expect(performance.now() - startedMs).toBeLessThan(2_000);
  });

  test("takes any text at all without throwing: it runs before JSON.parse", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...oddTexts, "a", "1")), (parts) => {
        const few = { depthMax: 2, keysMax: 2, valuesMax: 3, nameMax: 2 };
        expect([null, ...Object.keys(few)]).toContain(boundJson(parts.join(""), few));
      }),
    );
  });
});

describe("stringify", () => {
  test("puts JSON text in as it is, wherever it stands", () => {
    expect(
      stringify({
        a: new JsonText('{"2":1,"1":1e400}'),
        b: [new JsonText("9007199254740993"), "x"],
        c: null,
      }),
    ).toBe('{"a":{"2":1,"1":1e400},"b":[9007199254740993,"x"],"c":null}');
  });

  test("is JSON.stringify when there is none", () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(stringify(value)).toBe(JSON.stringify(value));
      }),
    );
  });

  test("no text of a stranger can stand for one of the marks, nor a pattern of a replacement do anything", () => {
    const mark = (n: number): string => `text-00000000-0000-4000-8000-000000000000-${n}`;
    const hostile = [
      mark(0),
      `"${mark(0)}"`,
      "text-",
      "text-0",
      "text-1",
      "$&",
      "$1",
      "$`",
      "\\u0022",
      "[object Object]",
    ];
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.constantFrom(...hostile),
            json,
            json.map((value) => [value]),
          ),
          { maxLength: 5 },
        ),
        fc.array(fc.oneof(fc.constantFrom<Json>(...hostile), json), { minLength: 1, maxLength: 12 }),
        (plain, texts) => {
          const written = stringify({
            plain,
            texts: texts.map((item) => new JsonText(JSON.stringify(item))),
          });
          expect(written).toBe(JSON.stringify({ plain, texts }));
        },
      ),
      { numRuns: 300 },
    );
  });
});
