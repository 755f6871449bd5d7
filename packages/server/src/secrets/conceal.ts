import { LRUCache } from "lru-cache";

/** Shortest text that is taken for a secret: shorter ones stand in any answer by chance. */
const secretCharactersMin = 4;
/** Of a value with spaces, such as `Bearer <token>`, each word of so many characters is a secret of its own. */
const wordCharactersMin = 8;

const mask = "****";

/**
 * An answer without the secrets that were sent to it: a server that echoes its request would have them shown to everyone
 * who may read the log (hostile cases, M4). Each becomes asterisks and its last 4 characters, or none of one of 8 or fewer.
 *
 * @param secrets header values and signing secrets, ASCII.
 */
export function conceal(body: Buffer, secrets: readonly string[]): Buffer {
  if (body.length < secretCharactersMin) return body;
  const hidden = secrets.flatMap(formsOf).sort((left, right) => right.form.length - left.form.length);
  // latin1 maps bytes to characters one to one, so whatever else is in the answer stays as it came.
  const before = body.toString("latin1");
  let text = before;
  for (const { form, shown } of hidden) text = text.replaceAll(form, () => shown);
  // An answer is cut at 4 KiB; the cut may lie in the midst of a secret.
  for (const { form } of hidden) text = withoutBegun(text, form);
  return text === before ? body : Buffer.from(text, "latin1").subarray(0, body.length);
}

/** How a secret may stand in an answer, and what stands there instead. */
interface Form {
  readonly form: string;
  readonly shown: string;
}

/** Forms of the secrets that were sent last: every attempt at an endpoint asks for the same. */
const known = new LRUCache<string, readonly Form[]>({ max: 1_000 });

function formsOf(secret: string): readonly Form[] {
  const forms = known.get(secret) ?? makeForms(secret);
  known.set(secret, forms);
  return forms;
}

/** A value and its words (the token without its scheme), each as it is, in JSON, in a URL and in base64. */
function makeForms(secret: string): readonly Form[] {
  const words = secret.split(/\s+/).filter((word) => word.length >= wordCharactersMin);
  const texts = [secret, ...words].filter((text) => text.length >= secretCharactersMin);
  return texts.flatMap((text) => {
    const shown = mask + (text.length > 8 ? text.slice(-4) : "");
    const forms = [
      text,
      JSON.stringify(text).slice(1, -1),
      encodeURIComponent(text),
      Buffer.from(text).toString("base64"),
    ];
    return forms.map((form) => ({ form, shown }));
  });
}

function withoutBegun(text: string, secret: string): string {
  const end = text.slice(1 - secret.length);
  if (!end.includes(secret.slice(0, secretCharactersMin))) return text;
  for (let length = Math.min(secret.length - 1, text.length); length >= secretCharactersMin; length--) {
    if (text.endsWith(secret.slice(0, length))) return text.slice(0, -length) + mask;
  }
  return text;
}
