import type { ApiStage } from "./stage.ts";

/** A project with an agent webhook of its own. */
export interface Project {
  readonly id: string;
  readonly key: string;
  readonly endpointId: string;
  /** Port of the sink that the webhook points at. */
  readonly port: number;
}

/** `delivery` of an agent's webhook. */
export interface DeliveryTerms {
  readonly timeout?: string;
  readonly retries?: { readonly attempts: number; readonly window: string };
}

const laneEvents = ["session.ended", "call.ended", "session.finalized"];

/** Makes one project per port, each with a webhook: for all events of a lane, or those given. */
export async function createProjects(
  stage: ApiStage,
  ports: readonly number[],
  termsOf: (index: number) => DeliveryTerms = () => ({}),
  events: readonly string[] = laneEvents,
): Promise<Project[]> {
  const made: Array<Omit<Project, "endpointId">> = [];
  for (const [index, port] of ports.entries()) {
    const { data } = await call<{ data: { id: string; key: string } }>(
      stage,
      "POST",
      "/v1/projects",
      stage.developerKey,
      { name: `bench ${index}` },
    );
    await call(stage, "PATCH", `/v1/projects/${data.id}/agent`, data.key, {
      postSessionWebhook: { url: `http://127.0.0.1:${port}/${index}`, events, delivery: termsOf(index) },
    });
    made.push({ id: data.id, key: data.key, port });
  }
  const { rows } = await stage.database.query<{ project: string; endpoint: string }>(
    "SELECT project_id AS project, endpoint_id AS endpoint FROM endpoints WHERE removed_at IS NULL",
  );
  const endpointOf = new Map(rows.map((row) => [row.project, row.endpoint]));
  return made.map((project) => ({ ...project, endpointId: endpointOf.get(project.id) ?? "" }));
}

const reportsPerRequest = 100;

/** Ends so many text sessions of a project, in bulk: two deliveries each. */
export function endSessions(stage: ApiStage, project: Project, count: number, prefix: string): Promise<void> {
  const reports = Array.from({ length: count }, (_, index) => ({
    type: "conversation-ended",
    sessionId: `${prefix}-${index}`,
    ...textConversation,
  }));
  return sendReports(stage, project, reports);
}

/** Sends reports of a project in bulk, a hundred a request. @throws Error when one is refused. */
export async function sendReports(
  stage: ApiStage,
  project: Project,
  reports: readonly object[],
): Promise<void> {
  for (let begin = 0; begin < reports.length; begin += reportsPerRequest) {
    const part = reports.slice(begin, begin + reportsPerRequest);
    const { data } = await call<{ data: ReadonlyArray<{ status: number }> }>(
      stage,
      "POST",
      `/v1/projects/${project.id}/reports`,
      project.key,
      part,
    );
    const refused = data.find(({ status }) => status !== 200);
    if (refused !== undefined) throw new Error(`A report was refused: ${JSON.stringify(refused)}`);
  }
}

const variables = { name: "Anna Berg", intent: "reschedule", slot: "2026-03-04T09:30:00Z", confirmed: true };

/** Body of the report that ends a text session; a payload made of it has about 400 bytes. */
export const textConversation = {
  channel: "text",
  currentNodeId: "closing",
  messagesCount: 12,
  extractedVariables: variables,
};

/** @throws Error with the answer when it is not a 2xx. */
async function call<Answer = unknown>(
  { api }: ApiStage,
  method: "POST" | "PATCH",
  path: string,
  key: string,
  body: unknown,
): Promise<Answer> {
  const answer = await api.request({
    method,
    path,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await answer.body.text();
  if (answer.statusCode >= 300)
    throw new Error(`${method} ${path} was answered ${answer.statusCode}: ${text}`);
  return JSON.parse(text) as Answer;
}
