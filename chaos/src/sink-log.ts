import { createHash } from "node:crypto";
import type { SinkRequest, Trespass } from "./history.ts";

/** A line of the sink's log. */
export type SinkEntry =
  | {
      readonly t: "begin";
      readonly id: number;
      readonly ns: number;
      readonly wallMs: number;
      readonly path: string;
      readonly headers: Record<string, string>;
    }
  | {
      readonly t: "body";
      readonly id: number;
      readonly ns: number;
      readonly body: string;
      readonly sha256: string;
      readonly event: string | null;
      readonly session: string | null;
    }
  | { readonly t: "answer"; readonly id: number; readonly ns: number; readonly status: number }
  | { readonly t: "sent"; readonly id: number; readonly ns: number }
  | { readonly t: "closed"; readonly id: number; readonly ns: number }
  | { readonly t: "trespass"; readonly ns: number; readonly what: string };

/** The body as it is stored: the recordingUrl, always the last field, is minted for each attempt. */
export function storedForm(body: string): string {
  return body.replace(/,"recordingUrl":"[^"]*"\}$/, "}");
}

export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

/** Puts the lines of the log together, request by request; can be fed while the log still grows. */
export class SinkView {
  readonly #requests = new Map<number, Mutable<SinkRequest>>();
  readonly #open = new Set<number>();
  readonly trespasses: Trespass[] = [];

  add(entries: readonly SinkEntry[]): void {
    for (const entry of entries) this.#add(entry);
  }

  #add(entry: SinkEntry): void {
    if (entry.t === "trespass") {
      this.trespasses.push({ ns: entry.ns, what: entry.what });
      return;
    }
    if (entry.t === "begin") {
      const { id, path, headers, ns, wallMs } = entry;
      this.#open.add(id);
      this.#requests.set(id, {
        id,
        path,
        headers,
        beginNs: ns,
        wallMs,
        body: null,
        sha256: null,
        event: null,
        session: null,
        answer: null,
        closedNs: null,
        sent: false,
      });
      return;
    }
    const request = this.#requests.get(entry.id);
    if (request === undefined) throw new Error(`the sink's log has no begin of request ${entry.id}`);
    if (entry.t === "body") {
      Object.assign(request, {
        body: entry.body,
        sha256: entry.sha256,
        event: entry.event,
        session: entry.session,
      });
    } else if (entry.t === "answer") {
      request.answer = { ns: entry.ns, status: entry.status };
    } else {
      if (entry.t === "sent") request.sent = true;
      request.closedNs ??= entry.ns;
      this.#open.delete(entry.id);
    }
  }

  requests(): SinkRequest[] {
    return [...this.#requests.values()];
  }

  get count(): number {
    return this.#requests.size;
  }

  /** What is open now. */
  open(): SinkRequest[] {
    return [...this.#open].flatMap((id) => this.#requests.get(id) ?? []);
  }
}
