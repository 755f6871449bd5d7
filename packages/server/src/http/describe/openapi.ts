import { ErrorBody, type ErrorCode, errorCatalogue, ProjectId, SessionId } from "@sendoff/contract";
import { z } from "zod";
import type { DescribedAnswer, Route } from "../route.ts";
import { describedEvents, eventHeaders } from "./events.ts";
import { operationIdOf, type Tag, tagOf } from "./names.ts";
import { refusalsOf } from "./refusals.ts";
import { sampleOf } from "./sample.ts";
import { collectSchemas, type JsonSchema, resolved, type SchemaCollection } from "./schemas.ts";

/** One parameter of an operation. */
export interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly required: boolean;
  readonly description?: string;
  readonly schema: JsonSchema;
  readonly example?: unknown;
}

/** A body of one media type. */
export interface MediaType {
  readonly schema?: JsonSchema;
  readonly example?: unknown;
  readonly examples?: Record<string, { readonly value: unknown }>;
}

interface Content {
  readonly [mediaType: string]: MediaType;
}

interface OpenApiResponse {
  readonly description: string;
  readonly headers?: Record<string, { readonly description: string; readonly schema: JsonSchema }>;
  readonly content?: Content;
}

interface RequestBody {
  readonly description?: string;
  readonly required: boolean;
  /** Parts of it are checked on their own, and a wrong one does not refuse the whole. */
  readonly "x-checked-in-parts"?: true;
  readonly content: Content;
}

export interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly security: ReadonlyArray<Record<string, readonly string[]>>;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: RequestBody;
  readonly responses: Record<string, OpenApiResponse>;
}

/** The parts of an OpenAPI 3.1 document that Sendoff's has. */
export interface OpenApiDocument {
  readonly openapi: "3.1.1";
  readonly info: Record<string, unknown>;
  readonly externalDocs: Record<string, string>;
  readonly servers: ReadonlyArray<{ readonly url: string }>;
  readonly tags: readonly Tag[];
  readonly paths: Record<string, Record<string, Operation>>;
  readonly webhooks: Record<string, { readonly post: Operation }>;
  readonly components: {
    readonly securitySchemes: Record<string, JsonSchema>;
    readonly schemas: Record<string, JsonSchema>;
  };
}

const webhooksTag: Tag = { name: "Webhooks", description: "What Sendoff POSTs to the endpoints." };

/** The description of the API that the routes make, and of the webhooks that it sends. */
export function openApiDocument(routes: readonly Route[], version: string): OpenApiDocument {
  const schemas = collectSchemas();
  const operations = routes.map((route) => ({
    route,
    path: plainPath(route),
    operation: operationOf(route, schemas),
  }));
  const webhooks = webhooksOf(schemas);
  const named = schemas.named();
  const paths: Record<string, Record<string, Operation>> = {};
  for (const { route, path, operation } of operations) {
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: withExamples(operation, named) };
  }
  const tags = new Map([...routes.map(tagOf), webhooksTag].map((tag) => [tag.name, tag]));
  return {
    openapi: "3.1.1",
    info: {
      title: "Sendoff",
      version,
      summary: "Post-session webhooks for voice and chat agents: delivered in order, once, and logged.",
      description:
        'A runtime reports facts about a session; Sendoff commits them and POSTs the events that they make true. Good answers are `{"data": ...}`, lists add `nextCursor`, and refusals are `{"error": {"code", "message", "details"}}`. Answers may have further fields in later versions; requests with unknown fields are refused.',
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    externalDocs: { description: "The same for people", url: "/docs" },
    servers: [{ url: "/" }],
    tags: [...tags.values()],
    paths,
    webhooks,
    components: {
      securitySchemes: {
        developerKey: { type: "http", scheme: "bearer", description: "A key dk_...: sees every project." },
        projectKey: { type: "http", scheme: "bearer", description: "A key sk_...: sees one project." },
      },
      schemas: named,
    },
  };
}

const plainPath = ({ path }: Route): string => path.replaceAll("+}", "}");

function operationOf(route: Route, schemas: SchemaCollection): Operation {
  const parameters = [...pathParameters(route, schemas), ...queryParameters(route, schemas)];
  const body = route.bodyDescribed ?? route.body;
  return {
    operationId: operationIdOf(route),
    tags: [tagOf(route).name],
    summary: route.summary,
    security: securityOf(route),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: bodyOf(route, schemas.refer(body)) }),
    ...(route.bodyMediaTypes === undefined ? {} : { requestBody: rawBodyOf(route.bodyMediaTypes) }),
    responses: { ...answersOf(route, schemas), ...refusalResponses(route, schemas) },
  };
}

function bodyOf({ bodyDescribed, bodyOptional }: Route, schema: JsonSchema): RequestBody {
  const inParts = {
    description: "Its parts are checked one by one: a wrong one is answered on its own.",
    "x-checked-in-parts": true,
  } as const;
  return {
    ...(bodyDescribed === undefined ? {} : inParts),
    required: bodyOptional !== true,
    content: { "application/json": { schema } },
  };
}

const rawBodyOf = (mediaTypes: readonly string[]): RequestBody => ({
  description: "The bytes themselves. What they are is told by them; the content-type is not believed.",
  required: true,
  content: Object.fromEntries(mediaTypes.map((mediaType) => [mediaType, {}])),
});

function securityOf({ access }: Route): Operation["security"] {
  if (access === "open") return [];
  return access === "developer" ? [{ developerKey: [] }] : [{ developerKey: [] }, { projectKey: [] }];
}

/** Parts of paths whose form is checked; any other is a text that names something or nothing. */
const pathSchemas: Record<string, z.ZodType> = { projectId: ProjectId, sessionId: SessionId };

function pathParameters({ path }: Route, schemas: SchemaCollection): Parameter[] {
  return [...path.matchAll(/\{(\w+)(\+?)\}/g)].map(([, name = "", all]) => ({
    name,
    in: "path",
    required: true,
    ...(all === "" ? {} : { description: "All the rest of the path; it may have slashes." }),
    schema: schemas.refer(pathSchemas[name] ?? z.string().min(1)),
  }));
}

function queryParameters({ query }: Route, schemas: SchemaCollection): Parameter[] {
  if (query === undefined) return [];
  // A collection of its own: the query as a whole is no schema of the document, its parameters are.
  const whole = collectSchemas();
  const root = resolved(whole.refer(query), whole.named());
  const required = (root.required ?? []) as string[];
  return Object.entries((root.properties ?? {}) as Record<string, JsonSchema>).map(([name, schema]) => {
    const { description } = resolved(schema, whole.named());
    return {
      name,
      in: "query",
      required: required.includes(name),
      ...(typeof description === "string" ? { description } : {}),
      schema: schemas.adopt(schema, whole),
    };
  });
}

function answersOf({ answers = [] }: Route, schemas: SchemaCollection): Record<string, OpenApiResponse> {
  const responses: Record<string, OpenApiResponse> = {};
  for (const answer of answers) {
    const before = responses[answer.status];
    const content = { ...before?.content, ...contentOf(answer, schemas) };
    responses[answer.status] = {
      description: before === undefined ? answer.when : `${before.description} ${answer.when}`,
      ...(Object.keys(content).length === 0 ? {} : { content }),
    };
  }
  return responses;
}

function contentOf(answer: DescribedAnswer, schemas: SchemaCollection): Content {
  const { data, mediaType } = answer;
  if (data === undefined) return mediaType === undefined ? {} : { [mediaType]: {} };
  return { [mediaType ?? "application/json"]: { schema: bodySchema(answer, schemas.refer(data)) } };
}

function bodySchema({ bare, list }: DescribedAnswer, data: JsonSchema): JsonSchema {
  if (bare) return data;
  if (!list) return { type: "object", properties: { data }, required: ["data"] };
  const nextCursor = {
    type: ["string", "null"],
    description: "Give it back as cursor; null: this was the end.",
  };
  return {
    type: "object",
    properties: { data: { type: "array", items: data }, nextCursor },
    required: ["data", "nextCursor"],
  };
}

function refusalResponses(route: Route, schemas: SchemaCollection): Record<string, OpenApiResponse> {
  const body = schemas.refer(ErrorBody);
  return Object.fromEntries(
    [...refusalsOf(route)].map(([status, codes]) => [
      status,
      {
        description: codes.map((code) => `\`${code}\`: ${errorCatalogue[code].when}`).join(" "),
        ...headersOf(status),
        content: { "application/json": { schema: refusalSchema(body, codes) } },
      },
    ]),
  );
}

const refusalSchema = (body: JsonSchema, codes: readonly ErrorCode[]): JsonSchema => ({
  allOf: [body, { properties: { error: { properties: { code: { enum: codes } } } } }],
});

const headersOf = (status: number): Pick<OpenApiResponse, "headers"> =>
  status === 503 || status === 429
    ? { headers: { "Retry-After": { description: "Seconds to wait.", schema: { type: "string" } } } }
    : {};

/** The operation with an example of each JSON body. Only when all schemas are known: an example follows references. */
function withExamples(operation: Operation, named: Record<string, JsonSchema>): Operation {
  const exemplified = (content: Content): Content =>
    Object.fromEntries(
      Object.entries(content).map(([type, media]) => {
        const example = media.schema === undefined ? undefined : sampleOf(media.schema, named);
        return [type, example === undefined ? media : { ...media, example }];
      }),
    );
  const { requestBody, responses } = operation;
  return {
    ...operation,
    ...(requestBody === undefined
      ? {}
      : { requestBody: { ...requestBody, content: exemplified(requestBody.content) } }),
    responses: Object.fromEntries(
      Object.entries(responses).map(([status, response]) => [
        status,
        response.content === undefined || Number(status) >= 400
          ? response
          : { ...response, content: exemplified(response.content) },
      ]),
    ),
  };
}

function webhooksOf(schemas: SchemaCollection): OpenApiDocument["webhooks"] {
  return Object.fromEntries(
    describedEvents().map(({ name, trigger, payload, examples }) => {
      const named = Object.entries(examples).map(([example, value]) => [example, { value }] as const);
      const post: Operation = {
        operationId: `on${name.replace(/(^|\.)(\w)/g, (_, _dot, letter: string) => letter.toUpperCase())}`,
        tags: [webhooksTag.name],
        summary: trigger,
        description: "Answer 2xx within the endpoint's timeout. Deduplicate on sessionId and event.",
        security: [],
        parameters: eventHeaders.map(({ schema, ...header }) => ({
          ...header,
          in: "header" as const,
          required: true,
          schema: schemas.refer(schema),
        })),
        requestBody: {
          required: true,
          content: {
            "application/json": { schema: schemas.refer(payload), examples: Object.fromEntries(named) },
          },
        },
        responses: {
          "2XX": {
            description: "It was received: the delivery settles as delivered. The body is not looked at.",
          },
          default: {
            description:
              "It was not: one more attempt if the endpoint has retries, else it settles as rejected.",
          },
        },
      };
      return [name, { post }];
    }),
  );
}
