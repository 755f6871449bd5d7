/**
 * The text of one member of a JSON object, exactly as it stands there. JSON.parse and JSON.stringify would change what
 * JavaScript cannot hold (2^53+1, 1e400), and the signature is over the text.
 *
 * @param json text that JSON.parse accepts as an object.
 * @returns null when the object has no such member. A name that comes twice: the last one, as JSON.parse takes it.
 */
export function rawMember(json: string, name: string): string | null {
  const tokens = /"(?:[^"\\]|\\.)*"|[{}[\]:,]/gs;
  let depth = 0;
  let key: string | null = null;
  let begin = 0;
  let found: string | null = null;
  let lastString = "";
  for (const match of json.matchAll(tokens)) {
    const [token] = match;
    if (token.length > 1) lastString = token;
    else if (token === ":" && depth === 1 && key === null) {
      key = JSON.parse(lastString) as string;
      begin = match.index + 1;
    } else if (token === "{" || token === "[") depth += 1;
    else if (token !== ":") {
      const endsMember = depth === 1;
      if (token !== ",") depth -= 1;
      if (!endsMember || key === null) continue;
      if (key === name) found = json.slice(begin, match.index).trim();
      key = null;
    }
  }
  return found;
}
