import type { Method } from "./api.ts";
import { type Answer, type Api, dataOf, errorSentence } from "./api.ts";
import { CommandFailure } from "./io.ts";
import { patiently } from "./patience.ts";

/** How long a request is repeated while the server is away or busy, in ms. */
const patienceMs = 15_000;

/** Sends a request, and again while the server is away. @throws {CommandFailure} when it stays away or refuses. */
export async function ask(api: Api, method: Method, path: string, body?: unknown): Promise<Answer> {
  const result = await patiently(() => api.request(method, path, body), patienceMs);
  if (result.kind === "gave-up") throw new CommandFailure(`${result.reason}. Start it with npm start.`);
  if (result.answer.status < 200 || result.answer.status > 299) {
    throw new CommandFailure(errorSentence(result.answer));
  }
  return result.answer;
}

/** What parses an item: a schema of the contract. */
interface Schema<Item> {
  safeParse(value: unknown): { readonly success: true; readonly data: Item } | { readonly success: false };
}

/** The `data` of an answer as the contract has it. @throws {CommandFailure} */
export function dataAs<Item>(answer: Answer, schema: Schema<Item>, what: string): Item {
  const parsed = schema.safeParse(dataOf(answer, what));
  if (parsed.success) return parsed.data;
  throw new CommandFailure(
    `${what} is not what this version of sendoff expects. Is the server of another version?`,
  );
}

/** A page of a list. */
export interface Page<Item> {
  readonly items: Item[];
  readonly nextCursor: string | null;
}

/** One page of a list. @throws {CommandFailure} */
export function pageOf<Item>(answer: Answer, schema: Schema<Item[]>, what: string): Page<Item> {
  const { body } = answer;
  const named = typeof body === "object" && body !== null && "nextCursor" in body ? body.nextCursor : null;
  return { items: dataAs(answer, schema, what), nextCursor: typeof named === "string" ? named : null };
}

/** A query string of what is there. */
export function queryOf(values: Readonly<Record<string, string | number | undefined | null>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== null) query.set(name, String(value));
  }
  return query.size === 0 ? "" : `?${query}`;
}
