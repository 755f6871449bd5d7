/** A piece of JSON text and what it is. */
export interface Token {
  readonly kind: "key" | "string" | "number" | "word" | "mark";
  readonly text: string;
}

const lexeme = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[{}[\],:]|\s+/gy;

/**
 * JSON text, indented, as tokens line by line. It is taken apart as text and never read into values: a number keeps
 * all its digits and a name that stands twice stands twice. null: it is not JSON, and is to be shown as it is.
 */
export function prettyLines(json: string): Token[][] | null {
  try {
    JSON.parse(json);
  } catch {
    return null;
  }
  const lines: Token[][] = [];
  let line: Token[] = [];
  let depth = 0;
  let previous = "";
  const newLine = () => {
    lines.push(line);
    line = depth === 0 ? [] : [{ kind: "mark", text: "  ".repeat(depth) }];
  };
  const texts = (json.match(lexeme) ?? []).filter((text) => text.trim() !== "");
  texts.forEach((text, index) => {
    if (text === "}" || text === "]") {
      depth -= 1;
      if (previous !== "{" && previous !== "[") newLine();
      line.push({ kind: "mark", text });
    } else {
      if (previous === "{" || previous === "[" || previous === ",") newLine();
      if (text === "{" || text === "[") depth += 1;
      line.push({ kind: kindOf(text, texts[index + 1]), text: text === ":" ? ": " : text });
    }
    previous = text;
  });
  lines.push(line);
  return lines;
}

function kindOf(text: string, next: string | undefined): Token["kind"] {
  if (text.startsWith('"')) return next === ":" ? "key" : "string";
  if (/^[-\d]/.test(text)) return "number";
  return /^[tfn]/.test(text) ? "word" : "mark";
}
