import { isDeepStrictEqual } from "node:util";
import {
  type AgentEvent,
  CallFinalizedPayload,
  type InspectedRequest,
  payloadSchemas,
  TextFinalizedPayload,
} from "@sendoff/contract";
import type { SessionPlan } from "./plan.ts";

type Fields = Readonly<Record<string, unknown>>;

const conversationFields = ["currentNodeId", "messagesCount", "extractedVariables"] as const;
const callFields = ["callStatus", "callDuration"] as const;

/** What is wrong with a body, in the order of its fields. Empty: it is exactly as the session's reports said. */
export function bodyProblems(
  body: string,
  event: AgentEvent,
  plan: SessionPlan,
  projectId: string,
): string[] {
  const fields = fieldsOf(body);
  if (fields === null) return ["the body is not a JSON object"];
  return [
    ...schemaProblems(event, fields, plan),
    ...orderProblems(body, event, fields, plan),
    ...valueProblems(event, fields, plan, projectId),
  ];
}

/** What is wrong with the headers of a request. The signature is checked for its form: the secret is not known here. */
export function headerProblems(headers: InspectedRequest["headers"]): string[] {
  const problems: string[] = [];
  const expect = (name: string, form: RegExp, expected: string): void => {
    const value = headers[name];
    if (value === undefined) problems.push(`no ${name} header`);
    else if (!form.test(value)) problems.push(`the ${name} header is not ${expected}`);
  };
  expect("content-type", /^application\/json\b/i, "application/json");
  expect("webhook-id", /^\S+$/, "an id");
  expect("webhook-timestamp", /^\d{10}$/, "seconds since 1970");
  expect(
    "webhook-signature",
    /^v1,[A-Za-z0-9+/]{43}=( v1,[A-Za-z0-9+/]{43}=)*$/,
    "one or more v1 signatures",
  );
  expect("sendoff-attempt", /^[1-9]\d*$/, "a number from 1");
  return problems;
}

/** The body as an object, or null. */
export function fieldsOf(body: string): Fields | null {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : null;
  } catch {
    return null;
  }
}

function schemaProblems(event: AgentEvent, fields: Fields, plan: SessionPlan): string[] {
  // The union of the two finalized bodies would take the one for the other.
  const finalized = plan.channel === "call" ? CallFinalizedPayload : TextFinalizedPayload;
  const schema = event === "session.finalized" ? finalized : payloadSchemas[event];
  const result = schema.safeParse(fields);
  if (result.success) return [];
  return result.error.issues.map((issue) => `${issue.path.join(".") || "the body"}: ${issue.message}`);
}

/** Field order is the seeds' (behaviour, section 2), and no field more or twice. */
function orderProblems(body: string, event: AgentEvent, fields: Fields, plan: SessionPlan): string[] {
  const expected = fieldOrder(event, plan.channel === "call", fields.success === true).join(", ");
  const found = memberNames(body).join(", ");
  return found === expected ? [] : [`the fields are ${found}; expected ${expected}`];
}

function fieldOrder(event: AgentEvent, isCall: boolean, isRecorded: boolean): string[] {
  const head = ["event", "sessionId", "projectId", "timestamp"];
  switch (event) {
    case "session.ended":
      return ["event", "sessionId", "timestamp", ...conversationFields, "reason"];
    case "call.ended":
      return [...head, ...callFields];
    case "session.finalized":
      return [...head, ...conversationFields, ...(isCall ? callFields : [])];
    case "recording.ready":
      return [...head, "success", ...(isRecorded ? ["recordingUrl"] : [])];
  }
}

/** The values are those that the reports stated. The node of a call that nobody spoke on is Sendoff's own. */
function valueProblems(event: AgentEvent, fields: Fields, plan: SessionPlan, projectId: string): string[] {
  const { facts } = plan;
  const stated: Fields = {
    projectId,
    ...Object.fromEntries([...conversationFields, ...callFields].map((name) => [name, facts[name]])),
    success: facts.recordingSuccess,
  };
  return fieldOrder(event, plan.channel === "call", false)
    .filter(
      (name) =>
        name in stated && name in fields && !isDeepStrictEqual(plain(fields[name]), plain(stated[name])),
    )
    .map((name) => `${name} is ${shown(fields[name])}; reported was ${shown(stated[name])}`);
}

/** Names of the members of a JSON object as they stand in its text: JSON.parse would hide one that comes twice. */
function memberNames(text: string): string[] {
  const names: string[] = [];
  let depth = 0;
  const tokens = /"(?:[^"\\]|\\.)*"(\s*:)?|[[{\]}]/gs;
  for (const [token, colon] of text.matchAll(tokens)) {
    if (token === "{" || token === "[") depth += 1;
    else if (token === "}" || token === "]") depth -= 1;
    else if (depth === 1 && colon !== undefined)
      names.push(String(JSON.parse(token.slice(0, -colon.length))));
  }
  return names;
}

/** As it would be after a trip over the wire: -0, undefined and prototypes are not what is compared. */
const plain = (value: unknown): unknown => (value === undefined ? value : JSON.parse(JSON.stringify(value)));

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "undefined";
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
