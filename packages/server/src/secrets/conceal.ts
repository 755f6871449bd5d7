/** Shortest text that is taken for a secret: shorter ones stand in any answer by chance. */
const secretCharactersMin = 8;

const mask = "****";

/**
 * An answer without the secrets that were sent to it: a server that echoes its request would have them shown to everyone
 * who may read the log (hostile cases, M4). Each becomes asterisks and its last 4 characters, or
 * asterisks alone when it has 8, as header values are shown.
 *
 * @param secrets header values and signing secrets, ASCII.
 */
export function conceal(body: Buffer, secrets: readonly string[]): Buffer {
  const hidden = [...new Set(secrets.flatMap(formsOf))].sort((left, right) => right.length - left.length);
  // latin1 maps bytes to characters one to one, so whatever else is in the answer stays as it came.
  const before = body.toString("latin1");
  let text = before;
  for (const secret of hidden)
    text = text.replaceAll(secret, mask + (secret.length > secretCharactersMin ? secret.slice(-4) : ""));
  // An answer is cut at 4 KiB; the cut may lie in the midst of a secret.
  for (const secret of hidden) text = withoutBegun(text, secret);
  return text === before ? body : Buffer.from(text, "latin1").subarray(0, body.length);
}

/** A value as it is, as JSON has it, and what follows its scheme (`Bearer ...`). */
function formsOf(secret: string): string[] {
  const credentials = secret.slice(secret.indexOf(" ") + 1);
  return [secret, JSON.stringify(secret).slice(1, -1), credentials].filter(
    (form) => form.length >= secretCharactersMin,
  );
}

function withoutBegun(text: string, secret: string): string {
  for (let length = Math.min(secret.length - 1, text.length); length >= secretCharactersMin; length--) {
    if (text.endsWith(secret.slice(0, length))) return text.slice(0, -length) + mask;
  }
  return text;
}
