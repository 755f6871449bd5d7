import { Refusal } from "../refusal.ts";

/** A place in a list, as the opaque text that a client sends back. */
export function encodeCursor(parts: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(parts)).toString("base64url");
}

/**
 * The parts of a cursor.
 *
 * @param shapes what each part must look like. The last ones may be missing, and come as "", where "" has their shape.
 * @param code says where the cursor stood.
 * @throws Refusal when it is not one that Sendoff gave.
 */
export function decodeCursor(
  cursor: string,
  shapes: readonly RegExp[],
  code: "invalid_query" | "invalid_body" = "invalid_query",
): string[] {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(cursor, "base64url").toString());
  } catch {
    parts = null;
  }
  const texts = Array.isArray(parts)
    ? shapes.map((_, index) => String((parts as unknown[])[index] ?? ""))
    : [];
  const fits =
    Array.isArray(parts) &&
    parts.length <= shapes.length &&
    shapes.every((shape, index) => shape.test(texts[index] as string));
  if (!fits) {
    throw new Refusal(code, "The cursor is not one that Sendoff gave; take nextCursor of the page before.", {
      details: [{ path: "cursor", message: "expected a nextCursor" }],
    });
  }
  return texts;
}
