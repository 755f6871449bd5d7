import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { prettyLines } from "../src/ui/json-text.ts";

const textOf = (json: string): string | null =>
  prettyLines(json)
    ?.map((line) => line.map(({ text }) => text).join(""))
    .join("\n") ?? null;

describe("JSON as it is shown", () => {
  test("is indented as JSON.stringify indents it", () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        expect(textOf(json)).toBe(JSON.stringify(JSON.parse(json), null, 2));
      }),
      { examples: [['{"a":[],"b":{},"c":[1,{"d":"x\\"}"}]}']] },
    );
  });

  test("keeps what reading it would lose: digits, names that stand twice, __proto__", () => {
    const json = '{"n":9007199254740993,"e":1e400,"a":1,"a":2,"__proto__":{"x":1}}';
    expect(textOf(json)?.replaceAll(/\s/g, "")).toBe(json);
  });

  test("is null for what is not JSON, which is then shown as it is", () => {
    expect(prettyLines("<html>")).toBe(null);
    expect(prettyLines('{"a":')).toBe(null);
  });
});
