import { ApiError } from "../../api/http.ts";
import type { AgentWebhook, EventName, PostSessionWebhook } from "../../api/types.ts";

/** A webhook as it is being written: all of it is text, as the fields have it. */
export interface WebhookDraft {
  readonly url: string;
  readonly headers: readonly HeaderDraft[];
  readonly events: readonly EventName[];
  readonly timeout: string;
  readonly retries: boolean;
  readonly attempts: string;
  readonly window: string;
}

interface HeaderDraft {
  /** Tells rows apart while they are added and removed. */
  readonly row: number;
  readonly key: string;
  readonly value: string;
}

export function draftOf(
  webhook: (Omit<AgentWebhook, "events"> & { events?: readonly EventName[] | undefined }) | null,
): WebhookDraft {
  return {
    url: webhook?.url ?? "",
    headers: (webhook?.headers ?? []).map(({ key, value }, row) => ({ row, key, value })),
    // Without any the API takes session.ended.
    events: webhook?.events ?? ["session.ended"],
    timeout: webhook?.delivery?.timeout ?? "",
    retries: webhook?.delivery?.retries !== undefined,
    attempts: String(webhook?.delivery?.retries?.attempts ?? 8),
    window: webhook?.delivery?.retries?.window ?? "24h",
  };
}

/** What is sent: fields that are empty are left out, for the API has defaults of its own. */
export function bodyOf(
  draft: WebhookDraft,
): Omit<PostSessionWebhook, "events"> & { events: readonly EventName[] } {
  const delivery = {
    ...(draft.timeout.trim() === "" ? {} : { timeout: draft.timeout.trim() }),
    ...(draft.retries ? { retries: { attempts: Number(draft.attempts), window: draft.window.trim() } } : {}),
  };
  return {
    url: draft.url.trim(),
    ...(draft.headers.length === 0
      ? {}
      : { headers: draft.headers.map(({ key, value }) => ({ key: key.trim(), value })) }),
    events: draft.events,
    ...(Object.keys(delivery).length === 0 ? {} : { delivery }),
  };
}

/**
 * What the API said of each field, by its path within the webhook (`url`, `headers[0]`, `delivery.timeout`), and the
 * error itself when it spoke of no field that the form has.
 */
export function fieldErrors(error: unknown): { of: (path: string) => string | undefined; rest: unknown } {
  if (!(error instanceof ApiError)) return { of: () => undefined, rest: error };
  const texts = new Map<string, string>();
  for (const { path, message } of error.details) {
    // A rule's detail is its name; the sentence is that of the whole error.
    const text = error.code === "invalid_body" ? message : error.message;
    texts.set(path.replace(/^postSessionWebhook\.?/, ""), text);
  }
  const known = [...texts.keys()].every((path) => /^(url|headers\[|events|delivery\.)/.test(path));
  return {
    of: (path) => texts.get(path) ?? texts.get(`${path}.value`) ?? texts.get(`${path}.key`),
    rest: texts.size > 0 && known ? null : error,
  };
}
