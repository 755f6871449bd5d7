import { WebhookLog } from "@sendoff/contract";
import { type Api, dataOf, errorSentence, NoAnswer } from "../api.ts";
import { CommandFailure } from "../io.ts";
import { isPassing } from "../patience.ts";

const pageSize = 500;

/** Where the rows of a run are. */
export interface LogSource {
  readonly api: Api;
  readonly projectId: string;
  /** The agent's webhook: rows of other endpoints are not read. */
  readonly url: string;
  /** Rows of attempts before this moment are not read. */
  readonly from: Date;
  readonly isOfRun: (sessionId: string) => boolean;
}

/** The rows of `webhook_logs` that belong to a run, as far as they were read. */
export class LogBook {
  readonly rows = new Map<string, WebhookLog>();
  readonly #seen = new Set<string>();
  readonly #source: LogSource;

  constructor(source: LogSource) {
    this.#source = source;
  }

  /**
   * Reads what is new, newest first, and stops at a page that holds nothing new. Rows that were committed out of order
   * can be passed over that way; {@link LogBook.readAll} finds them.
   *
   * @throws {NoAnswer} when the server is away.
   */
  async readNew(): Promise<void> {
    await this.#read((fresh) => fresh > 0);
  }

  /** Reads every row since the start of the run. @throws {NoAnswer} when the server is away. */
  async readAll(): Promise<void> {
    await this.#read(() => true);
  }

  async #read(goesOn: (fresh: number) => boolean): Promise<void> {
    let cursor: string | null = null;
    do {
      const page: Page = await this.#page(cursor);
      const fresh = page.rows.filter((row) => !this.#seen.has(row.id));
      for (const row of fresh) {
        this.#seen.add(row.id);
        if (row.url === this.#source.url && this.#source.isOfRun(row.sessionId)) this.rows.set(row.id, row);
      }
      cursor = goesOn(fresh.length) ? page.nextCursor : null;
    } while (cursor !== null);
  }

  async #page(cursor: string | null): Promise<Page> {
    const { api, projectId, from } = this.#source;
    const query = new URLSearchParams({ limit: String(pageSize), from: from.toISOString() });
    if (cursor !== null) query.set("cursor", cursor);
    const answer = await api.request("GET", `/v1/projects/${projectId}/webhook-logs?${query}`);
    if (isPassing(answer.status)) throw new NoAnswer("webhook-logs", new Error(errorSentence(answer)));
    const rows = WebhookLog.array().safeParse(dataOf(answer, "webhook-logs"));
    if (!rows.success) {
      const issue = rows.error.issues[0];
      throw new CommandFailure(
        `webhook-logs is not what this version of sendoff expects (${issue?.path.join(".")}: ${issue?.message}).`,
      );
    }
    return { rows: rows.data, nextCursor: nextCursorOf(answer.body) };
  }
}

interface Page {
  readonly rows: WebhookLog[];
  readonly nextCursor: string | null;
}

function nextCursorOf(body: unknown): string | null {
  const named = typeof body === "object" && body !== null && "nextCursor" in body ? body.nextCursor : null;
  return typeof named === "string" ? named : null;
}
