import { jsonSchema, publishedSchemas } from "@sendoff/contract";
import type { Context } from "hono";
import { z } from "zod";
import { Refusal } from "../../refusal.ts";
import { answerCacheable, type CacheableText, cacheableText } from "../cacheable.ts";
import { asyncApiDocument } from "../describe/asyncapi.ts";
import { openApiDocument } from "../describe/openapi.ts";
import { documentPages } from "../describe/pages.ts";
import { stylesheet } from "../describe/style.ts";
import { type Answer, type DescribedAnswer, type Route, route } from "../route.ts";

/** Nothing but the stylesheet of this server is loaded, and no script runs. */
const pageHeaders = {
  "content-security-policy":
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
};

const unchanged: DescribedAnswer = { status: 304, when: "If-None-Match names what would be answered." };
const page: DescribedAnswer = { status: 200, when: "The page.", mediaType: "text/html" };
const json = (when: string, data: z.ZodType): DescribedAnswer => ({ status: 200, when, data, bare: true });

const schemaIndex = z.object({ schemas: z.array(z.object({ name: z.string(), url: z.string() })) });
const document = z.looseObject({});

/** Routes that describe the API, themselves included: made from the table of routes when first asked for. */
export function describeRoutes(others: readonly Route[], version: string): Route[] {
  const openApi = once(() => openApiDocument([...others, ...own], version));
  const openApiText = once(() => jsonText(openApi()));
  const asyncApiText = once(() => jsonText(asyncApiDocument(version)));
  const style = once(() => cacheableText("text/css; charset=utf-8", stylesheet));
  const pages = once(() => cached("text/html; charset=utf-8", documentPages(openApi())));
  const schemas = once(() => cached("application/schema+json", schemaFiles()));
  const schemaList = once(() => jsonText(listOfSchemas()));
  const answerPage = (context: Context, name: string): Answer =>
    answerCacheable(context, found(pages(), name, context.req.path), pageHeaders);
  const open = { method: "GET", access: "open" } as const;
  const own: Route[] = [
    route({
      ...open,
      path: "/openapi.json",
      summary: "This API as OpenAPI 3.1, with the webhooks that it sends.",
      answers: [json("The document.", document), unchanged],
      handle: ({ context }) => answerCacheable(context, openApiText()),
    }),
    route({
      ...open,
      path: "/asyncapi.json",
      summary: "The webhooks as AsyncAPI 3.0.",
      answers: [json("The document.", document), unchanged],
      handle: ({ context }) => answerCacheable(context, asyncApiText()),
    }),
    route({
      ...open,
      path: "/schemas/",
      summary: "Lists the JSON Schemas of bodies, answers and events.",
      answers: [json("Their names and where they are.", schemaIndex), unchanged],
      handle: ({ context }) => answerCacheable(context, schemaList()),
    }),
    route({
      ...open,
      path: "/schemas/{file}",
      summary: "One JSON Schema (2020-12), such as call-ended.json.",
      answers: [{ ...json("The schema.", document), mediaType: "application/schema+json" }, unchanged],
      errors: ["route_not_found"],
      handle: ({ context, path: { file = "" } }) =>
        answerCacheable(context, found(schemas(), file, context.req.path)),
    }),
    route({
      ...open,
      path: "/docs",
      summary: "This API for people: pages without scripts, and nothing from another host.",
      answers: [page, unchanged],
      handle: ({ context }) => answerPage(context, ""),
    }),
    route({
      ...open,
      path: "/docs/style.css",
      summary: "How the pages look.",
      answers: [{ status: 200, when: "The stylesheet.", mediaType: "text/css" }, unchanged],
      handle: ({ context }) => answerCacheable(context, style()),
    }),
    route({
      ...open,
      path: "/docs/{page}",
      summary: "One page: a group of operations, the webhooks or the errors.",
      answers: [page, unchanged],
      errors: ["route_not_found"],
      handle: ({ context, path: { page: name = "" } }) => answerPage(context, name),
    }),
  ];
  return own;
}

/** The value that is made at the first call. */
function once<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

const prettyJson = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
const jsonText = (value: unknown): CacheableText => cacheableText("application/json", prettyJson(value));

const cached = (mediaType: string, texts: ReadonlyMap<string, string>): Map<string, CacheableText> =>
  new Map([...texts].map(([name, text]) => [name, cacheableText(mediaType, text)]));

const schemaNames = Object.keys(publishedSchemas);

const listOfSchemas = (): z.input<typeof schemaIndex> => ({
  schemas: schemaNames.map((name) => ({ name, url: `/schemas/${name}.json` })),
});

/** The published schemas by the name of their file. */
const schemaFiles = (): Map<string, string> =>
  new Map(schemaNames.map((name) => [`${name}.json`, prettyJson(jsonSchema(name))]));

function found(texts: ReadonlyMap<string, CacheableText>, name: string, path: string): CacheableText {
  const text = texts.get(name);
  if (text !== undefined) return text;
  throw new Refusal("route_not_found", `There is nothing at GET ${path.slice(0, 200)}.`);
}
