// Format and ignorable characters reorder or hide text (bidi controls, zero-width spaces, tags). The two joiners stay:
// Persian and many emoji cannot be written without them, and they reorder nothing.
const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}]/gu;
const joiners = new Set(["\u200c", "\u200d"]);

/** A value as one line of JSON that writes nothing but text to a terminal; parsed, it is the same. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replace(unsafe, (character) =>
    joiners.has(character)
      ? character
      : character
          .split("")
          .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
          .join(""),
  );
}

/**
 * Text of a stranger made safe for a terminal: control characters, the escape that begins an ANSI sequence, bidi
 * controls and other invisible characters are shown as `\u{...}`.
 *
 * @param charactersMax longer text is cut there and ends with `…`. Default 120.
 */
export function visible(text: string, charactersMax = 120): string {
  const cut = text.length > charactersMax ? `${text.slice(0, charactersMax)}…` : text;
  return cut.replace(unsafe, (character) =>
    joiners.has(character) ? character : `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}
