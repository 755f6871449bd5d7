// Every operation of the description, called as it is described and in ways that it is not, on a real server with a
// real database. What is answered must be what the description has. Operations that are added are tried without more.
//
// FUZZ_SEED and FUZZ_RUNS (calls of each operation) make other and longer runs: FUZZ_SEED=7 FUZZ_RUNS=2000.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ErrorBody, errorCatalogue } from "@sendoff/contract";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import fc from "fast-check";
import { Pool } from "undici";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Schema, Source } from "../../../test/json-schema-arbitrary.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import type { OpenApiDocument, Operation } from "../src/http/describe/openapi.ts";
import { type ApiCall, callsOf, type Keys, type Target, tinyWav } from "./api-calls.ts";

const seed = Number(process.env.FUZZ_SEED ?? 1);
const numRuns = Number(process.env.FUZZ_RUNS ?? 80);

// The committed document, so that each operation is a test; openapi.test.ts holds it against the served one.
const document = JSON.parse(
  readFileSync(join(import.meta.dirname, "../../../docs/openapi.json"), "utf8"),
) as OpenApiDocument;
const targets: Target[] = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
);

let server: TestServer;
let sink: Sink;
let client: Pool;
let strangerKey: string;
/** Sessions that were made beside those of the calls. */
let sessions = 0;
/** Grows with what is answered: ids and cursors of things that are there. */
const known = new Map<string, string[]>();
/** How often each status and code came, for the line at the end. */
const counted = new Map<string, number>();
/** Operations that have answered well at least once. */
const answeredWell = new Set<string>();

beforeAll(async () => {
  console.log(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);
  // All calls come from one address; a few refusals of wrong keys are looked at, not one answer to all of them.
  server = await startTestServer({ SENDOFF_WRONG_KEY_LIMIT: "100000" });
  sink = await startSink();
  client = new Pool(server.apiUrl, { connections: 4 });
  const stranger = await server.api("POST", "/v1/projects", { name: "Stranger" }, server.developerKey);
  strangerKey = stranger.body.data.key;
  know("projectId", server.projectId);
  know("token", server.inspectorUrl.split("/").at(-1) ?? "");
  // Nothing may be sent to another host: a URL is one of the sink, or one that is refused.
  for (let index = 0; index < 12; index += 1) know("url", `${sink.url}?${index}`);
  know("objectKey", `projects/${server.projectId}/sessions/s-1/audio.ogg`);
  for (const sessionId of ["s-1", "s-2", "s-3"]) know("sessionId", sessionId);
  for (const name of ["call-ended.json", "api-session.json"]) know("file", name);
  for (const name of ["agent", "errors"]) know("page", name);
  for (const name of ["request", "response"]) know("part", name);
  know("key", server.projectKey);
});
beforeEach(() => haveAttempts());
afterAll(async () => {
  await client.close();
  await server.stop();
  await sink.close();
});

/** A webhook, whatever the calls before made of it, and a session that was delivered to it: something to ask for. */
async function haveAttempts(): Promise<void> {
  sessions += 1;
  const sessionId = `delivered-${sessions}`;
  const project = `/v1/projects/${server.projectId}`;
  const webhook = { url: sink.url, events: ["session.ended", "session.finalized"] };
  await server.api("PATCH", `${project}/agent`, { postSessionWebhook: webhook });
  // A call that nothing has been reported of, and that no other operation has erased.
  for (const open of [`open-${sessions}-a`, `open-${sessions}-b`, `open-${sessions}-c`]) {
    await server.api("POST", `${project}/sessions`, { sessionId: open, channel: "call" });
    know("sessionId", open);
  }
  // A call with its audio, of which the waveform is there.
  await server.api("PUT", `${project}/sessions/recorded-${sessions}/recording`, tinyWav);
  know("sessionId", `recorded-${sessions}`);
  await until("its waveform is there", async () => {
    const { body } = await server.api("GET", `${project}/sessions/recorded-${sessions}`);
    return body.data.recording.peaks === "made";
  });
  const facts = { channel: "text", currentNodeId: "bye", messagesCount: 2, extractedVariables: {} };
  await server.api("POST", `${project}/sessions/${sessionId}/conversation-ended`, facts);
  await until("its attempts are logged", async () => {
    const logs = await server.api("GET", `${project}/webhook-logs?sessionId=${sessionId}`);
    learn(logs.body);
    return logs.body.data.length >= 2;
  });
}

function know(name: string, value: string): void {
  const values = known.get(name) ?? [];
  if (!values.includes(value)) known.set(name, [...values, value].slice(-40));
}

/** Ids and cursors of an answer, under the names by which they are asked for. */
function learn(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  for (const [name, inner] of Object.entries(value)) {
    if (typeof inner !== "string" || inner.length > 200) learn(inner);
    else if (name === "nextCursor") know("cursor", inner);
    else if (name === "id") for (const asked of ["logId", "id", "webhookId"]) know(asked, inner);
    else if (/Id$/.test(name) && name !== "projectId") know(name, inner);
  }
}

const source: Source = {
  known,
  resolve: (ref) => (document.components.schemas[ref.replace(/^.*\//, "")] ?? {}) as Schema,
};

const keys: Keys = {
  right: ({ security }) => {
    if (security.length === 0) return ["", `Bearer ${server.projectKey}`, "nonsense"];
    const developer = `Bearer ${server.developerKey}`;
    return security.some((one) => "projectKey" in one)
      ? [developer, `Bearer ${server.projectKey}`]
      : [developer];
  },
  wrong: ({ security, parameters = [] }) => [
    ...[
      "",
      "Bearer",
      "Bearer ",
      `Bearer sk_${"a".repeat(43)}`,
      `Basic ${server.projectKey}`,
      server.projectKey,
    ],
    ...[`Bearer ${server.projectKey.slice(0, -1)}`, `Bearer ${"x".repeat(9_000)}`],
    ...(security.some((one) => "projectKey" in one) ? [] : [`Bearer ${server.projectKey}`]),
    ...(parameters.some(({ name }) => name === "projectId") ? [`Bearer ${strangerKey}`] : []),
  ],
};

const ajv = new Ajv2020({ strict: false, validateFormats: true });
formats.default(ajv);
ajv.addSchema({ $id: "api", ...document });
const validators = new Map<string, ValidateFunction>();

/** Why a value does not fit a schema of the document; null when it does. */
function misfit(schema: object, value: unknown): string | null {
  const text = JSON.stringify(schema).replaceAll('"#/', '"api#/');
  const validate = validators.get(text) ?? ajv.compile(JSON.parse(text));
  validators.set(text, validate);
  return validate(value) ? null : ajv.errorsText(validate.errors);
}

interface Answered {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

async function send({ method, path, headers, body }: ApiCall): Promise<Answered> {
  const answer = await client.request({ method: method as "GET", path, headers, body });
  const type = String(answer.headers["content-type"] ?? "").split(";")[0] ?? "";
  if (type !== "text/event-stream")
    return { status: answer.statusCode, type, text: await answer.body.text() };
  // A stream has no end: that it began is what can be said of it.
  answer.body.destroy();
  return { status: answer.statusCode, type, text: "" };
}

/** What is wrong with an answer; null when it is as described. */
function wrongWith(
  { responses, security, requestBody }: Operation,
  call: ApiCall,
  answer: Answered,
): string | null {
  if (answer.status >= 500) return "a status of 500 or more";
  if (answer.status >= 400) return wrongWithRefusal(responses, call, answer);
  if (call.place === "elsewhere") return null;
  const described = responses[answer.status];
  if (described === undefined) return "a status that is not described";
  if (call.key === "wrong" && security.length > 0) return "a good answer to a wrong key";
  const asked = requestBody?.content["application/json"]?.schema;
  const leftOut = requestBody?.required === false && (call.body ?? "") === "";
  if (asked !== undefined && call.value === undefined && !leftOut) return "a good answer to what is not JSON";
  const inParts = requestBody?.["x-checked-in-parts"] ?? false;
  const notAsked = asked === undefined || inParts || leftOut ? null : misfit(asked, call.value);
  if (notAsked !== null) return `a good answer to a body that the description refuses: ${notAsked}`;
  if (described.content === undefined) return answer.text === "" ? null : "a body that is not described";
  const media = described.content[answer.type];
  if (media === undefined) return `a media type that is not described: ${answer.type}`;
  return media.schema === undefined ? null : misfit(media.schema, JSON.parse(answer.text));
}

function wrongWithRefusal(responses: Operation["responses"], call: ApiCall, answer: Answered): string | null {
  if (answer.type !== "application/json") return "a refusal that is not JSON";
  const body = ErrorBody.safeParse(JSON.parse(answer.text));
  if (!body.success) return "a refusal that is not as all are";
  const { code } = body.data.error;
  if (errorCatalogue[code].status !== answer.status) return "a code with the status of another";
  if (call.place === "elsewhere" || (call.place === "odd" && code === "route_not_found")) return null;
  const schema = responses[answer.status]?.content?.["application/json"]?.schema;
  return schema === undefined ? "a status that is not described" : misfit(schema, JSON.parse(answer.text));
}

const shown = (call: ApiCall): string =>
  JSON.stringify({ ...call, body: call.body?.slice(0, 2_000), value: undefined });

async function check(target: Target, call: ApiCall): Promise<void> {
  const answer = await send(call);
  const [what = answer.status] = /"code":"\w+"/.exec(answer.text) ?? [];
  counted.set(`${what}`, (counted.get(`${what}`) ?? 0) + 1);
  const wrong = wrongWith(target.operation, call, answer);
  if (wrong !== null) {
    throw new Error(
      `${wrong}\n${shown(call)}\n${answer.status} ${answer.type} ${answer.text.slice(0, 2_000)}`,
    );
  }
  if (answer.status >= 400 || call.place !== "usual") return;
  answeredWell.add(target.operation.operationId);
  if (answer.type === "application/json" && target.operation.security.length > 0)
    learn(JSON.parse(answer.text));
}

describe("every operation answers as it is described, whatever it is sent", () => {
  test.each(targets.map((target) => [`${target.method} ${target.path}`, target] as const))(
    "%s",
    async (_, target) => {
      const calls = callsOf(target, source, keys);
      await fc.assert(
        fc.asyncProperty(calls, (call) => check(target, call)),
        { seed, numRuns, endOnFailure: false },
      );
    },
  );

  test("nearly every operation was also answered well, so that good answers were looked at", () => {
    const never = targets.filter(({ operation }) => !answeredWell.has(operation.operationId));
    const names = never.map(({ operation }) => operation.operationId);
    // The link of a recording works only as it was sent, and there is no audio. The others lead to the dashboard's page
    // or are it, which is built apart (dashboard.test.ts).
    console.log(Object.fromEntries(counted));
    const apart = ["getRecording", "getRoot", "getDashboard", "getDashboardPage", "getDashboardFile"];
    expect(names.filter((name) => !apart.includes(name))).toEqual([]);
  });
});
