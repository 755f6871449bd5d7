import { reportsMax } from "@sendoff/contract";
import { type Answer, type Api, dataOf } from "../api.ts";

interface Waiting {
  readonly item: object;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/** How long reports are collected before they travel together, in ms. */
const collectMs = 25;

/** A batch is sent at so much JSON text, well below the 1 MiB that the API takes (characters may be 3 bytes long). */
const charactersMax = 250_000;

/** Sends reports of many sessions in one POST `/reports`, and gives each its own answer. */
export class BulkReports {
  readonly #api: Api;
  readonly #path: string;
  #waiting: Waiting[] = [];
  #characters = 0;

  constructor(api: Api, projectId: string) {
    this.#api = api;
    this.#path = `/v1/projects/${projectId}/reports`;
  }

  /** Sends one report with the next batch. @throws {NoAnswer} */
  send(item: object): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      const length = JSON.stringify(item).length;
      if (this.#characters + length > charactersMax) void this.#flush();
      this.#waiting.push({ item, resolve, reject });
      this.#characters += length;
      if (this.#waiting.length === 1) setTimeout(() => void this.#flush(), collectMs);
      if (this.#waiting.length >= reportsMax) void this.#flush();
    });
  }

  /** Never rejects: what went wrong goes to those who wait. */
  async #flush(): Promise<void> {
    const batch = this.#waiting;
    if (batch.length === 0) return;
    this.#waiting = [];
    this.#characters = 0;
    try {
      const answer = await this.#api.request(
        "POST",
        this.#path,
        batch.map(({ item }) => item),
      );
      const items = answer.status < 300 ? dataOf(answer, "The answer to bulk reports") : null;
      for (const [index, { resolve }] of batch.entries()) resolve(itemAnswer(answer, items, index));
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}

/** The answer to one item, as if it had been sent alone. A refusal of the whole request counts for each item. */
function itemAnswer(answer: Answer, items: unknown, index: number): Answer {
  if (items === null) return answer;
  const item: unknown = Array.isArray(items) ? items[index] : undefined;
  if (typeof item !== "object" || item === null || !("status" in item) || typeof item.status !== "number") {
    return { ...answer, body: undefined };
  }
  return { ...answer, status: item.status, body: item };
}
