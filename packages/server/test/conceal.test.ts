import { describe, expect, test } from "vitest";
import { conceal } from "../src/secrets/conceal.ts";

const hidden = (body: string | Buffer, ...secrets: string[]): string =>
  conceal(Buffer.from(body as string), secrets).toString("latin1");

describe("an answer that is kept", () => {
  test("has no secret that was sent: as it is, as JSON writes it, and without its scheme", () => {
    expect(hidden("got my-long-token twice: my-long-token", "my-long-token")).toBe(
      "got ****oken twice: ****oken",
    );
    expect(hidden(JSON.stringify({ a: 'quo"ted\\value' }), 'quo"ted\\value')).toBe('{"a":"****alue"}');
    expect(hidden("token=abcdefgh12", "Bearer abcdefgh12")).toBe("token=****gh12");
    expect(hidden("Bearer abcdefgh12", "Bearer abcdefgh12")).toBe("****gh12");
  });

  test("has no beginning of a secret at its end, where it was cut", () => {
    expect(hidden("xxxx my-long-to", "my-long-token")).toBe("xxxx ****");
    expect(hidden("xxxx my-lon", "my-long-token")).toBe("xxxx my-lon");
  });

  test("is otherwise the same bytes, whatever they are, and never longer", () => {
    const bytes = Buffer.from([0, 255, 254, 10, 195, 40]);
    expect(conceal(bytes, ["my-long-token"])).toBe(bytes);
    const around = Buffer.concat([bytes, Buffer.from("my-long-token"), bytes]);
    expect(conceal(around, ["my-long-token"])).toEqual(
      Buffer.concat([bytes, Buffer.from("****oken"), bytes]),
    );
    expect(hidden("12345678", "12345678")).toBe("****");
  });

  test("keeps short values, which stand in any answer by chance", () => {
    expect(hidden("status ok, version 1", "ok", "version")).toBe("status ok, version 1");
  });

  test("hides the longer of two secrets of which one contains the other", () => {
    expect(hidden("abcdefgh-and-more", "abcdefgh", "abcdefgh-and-more")).toBe("****more");
  });
});
