import type { ErrorBody } from "./types.ts";

/** An answer that is not a success, in the API's own words; or none at all (`status` is 0). */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly details: readonly { readonly path: string; readonly message: string }[];

  constructor(status: number, { code, message, details }: ErrorBody["error"] | NoAnswer) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

interface NoAnswer {
  readonly code: "no_answer" | "not_json";
  readonly message: string;
  readonly details: readonly { path: string; message: string }[];
}

interface CallOptions {
  readonly query?: object | undefined;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

/** A path with a query; parameters that are undefined, empty or empty lists are left out, lists joined by commas. */
export function withQuery(path: string, query: object = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    const text = Array.isArray(value) ? value.join(",") : value === undefined ? "" : String(value);
    if (text !== "") parameters.set(name, text);
  }
  const text = parameters.toString();
  return text === "" ? path : `${path}?${text}`;
}

/**
 * One request to the API, with the session's cookie. The header `sendoff-dashboard` says that it comes from the
 * dashboard: a form of another site can't send it (docs/api.md, "The dashboard").
 *
 * @throws ApiError
 */
export async function call<Answer>(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
  const { query, body, signal } = options;
  let response: Response;
  try {
    response = await fetch(withQuery(path, query), {
      method,
      credentials: "same-origin",
      headers: {
        accept: "application/json",
        ...(method === "GET" ? {} : { "content-type": "application/json", "sendoff-dashboard": "1" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw new ApiError(0, {
      code: "no_answer",
      message: "The server does not answer. Check that it runs and that this machine reaches it.",
      details: [],
    });
  }
  const text = await response.text();
  const answer = parse(text);
  if (response.ok) return answer as Answer;
  if (isErrorBody(answer)) throw new ApiError(response.status, answer.error);
  throw new ApiError(response.status, {
    code: "not_json",
    message: `The server answered ${response.status} without an error that Sendoff would write. Is there a proxy in between?`,
    details: [],
  });
}

/** GET of `{data}`. */
export async function read<Data>(path: string, query?: object, signal?: AbortSignal): Promise<Data> {
  return (await call<{ data: Data }>("GET", path, { query, signal })).data;
}

function parse(text: string): unknown {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

function isErrorBody(answer: unknown): answer is ErrorBody {
  return (
    typeof answer === "object" &&
    answer !== null &&
    "error" in answer &&
    typeof answer.error === "object" &&
    answer.error !== null &&
    "code" in answer.error &&
    "message" in answer.error &&
    "details" in answer.error &&
    Array.isArray(answer.error.details)
  );
}

export const projectPath = (projectId: string, rest = ""): string =>
  `/v1/projects/${encodeURIComponent(projectId)}${rest}`;
export const sessionPath = (projectId: string, sessionId: string, rest = ""): string =>
  projectPath(projectId, `/sessions/${encodeURIComponent(sessionId)}${rest}`);
