// The description of the API as a server serves it: valid by validators of others, complete, and true to the table of
// routes. What it says of bodies and answers is tried in api-fuzz.test.ts.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { errorCatalogue, eventNames, publishedSchemas } from "@sendoff/contract";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import type { OpenApiDocument, Operation } from "../src/http/describe/openapi.ts";
import { expectRefused } from "./refused.ts";

const root = join(import.meta.dirname, "../../..");
let server: TestServer;
let text: string;
let document: OpenApiDocument;
let operations: Operation[];

const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(server.apiUrl + path, { headers });

beforeAll(async () => {
  server = await startTestServer();
  text = await (await get("/openapi.json")).text();
  document = JSON.parse(text) as OpenApiDocument;
  operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
});
afterAll(() => server.stop());

/** The parts of /asyncapi.json that are looked at. */
interface AsyncApi {
  readonly components: { readonly messages: Record<string, { examples: Array<{ payload: unknown }> }> };
}
const getAsyncApi = async (): Promise<AsyncApi> => (await (await get("/asyncapi.json")).json()) as AsyncApi;

/** Every schema that an object has in it, by where it stands. */
function referred(value: unknown, found = new Set<string>()): Set<string> {
  if (typeof value !== "object" || value === null) return found;
  for (const [key, inner] of Object.entries(value)) {
    const name = key === "$ref" && typeof inner === "string" ? inner.replace(/^.*\//, "") : null;
    if (name === null) referred(inner, found);
    else if (!found.has(name)) {
      found.add(name);
      referred(document.components.schemas[name], found);
    }
  }
  return found;
}

describe("/openapi.json", () => {
  test("it is OpenAPI 3.1 as a validator of others has it", async () => {
    const validator = new Validator();
    const { valid, errors } = await validator.validate(JSON.parse(text));
    expect(errors).toBeUndefined();
    expect(valid).toBe(true);
    expect(validator.version).toBe("3.1");
  });

  test("it is docs/openapi.json; after a change: npm run generate", async () => {
    await expect(text).toMatchFileSnapshot(join(root, "docs/openapi.json"));
  });

  test("each operation has a name of its own, a group, answers, refusals, and every part of its path", () => {
    expect(operations.length).toBeGreaterThan(20);
    const names = operations.map(({ operationId }) => operationId);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
    const groups = document.tags.map(({ name }) => name);
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const { operationId, tags, responses, parameters = [] } of Object.values(methods)) {
        expect(groups, operationId).toEqual(expect.arrayContaining([...tags]));
        const statuses = Object.keys(responses).map(Number);
        expect(
          statuses.some((status) => status < 400),
          operationId,
        ).toBe(true);
        expect(statuses, operationId).toContain(500);
        const inPath = parameters.filter((one) => one.in === "path").map(({ name }) => name);
        expect(inPath).toEqual([...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]));
      }
    }
  });

  test("keys are asked for wherever a route is not open", () => {
    const secured = operations.filter(({ security }) => security.length > 0);
    expect(secured.length).toBeGreaterThan(10);
    for (const { operationId, responses } of operations) {
      const isSecured = secured.some((one) => one.operationId === operationId);
      // Signing in takes a key in its body.
      const asks = isSecured || operationId === "postDashboardSession";
      expect(responses["401"] !== undefined, operationId).toBe(asks);
    }
  });

  test("each schema that is referred to is there, and each that is there is referred to", () => {
    const names = Object.keys(document.components.schemas);
    expect([...referred({ ...document, components: {} })].toSorted()).toEqual(names.toSorted());
  });

  test("answers let fields pass that a reader does not know; bodies that are sent do not", () => {
    const closed = (value: unknown): boolean =>
      JSON.stringify(value).includes('"additionalProperties":false');
    for (const { operationId, responses } of operations) {
      const names = [...referred(responses)].map((name) => document.components.schemas[name]);
      expect(closed([responses, names]), `the answers of ${operationId}`).toBe(false);
    }
    const bodies = operations.flatMap(({ requestBody }) => (requestBody === undefined ? [] : [requestBody]));
    expect(bodies.length).toBeGreaterThan(5);
    const isAudio = (body: (typeof bodies)[number]): boolean =>
      Object.keys(body.content).every((type) => type.startsWith("audio/"));
    for (const body of bodies.filter((one) => !isAudio(one))) {
      expect(closed([body, [...referred(body)].map((name) => document.components.schemas[name])])).toBe(true);
    }
  });

  test("each example fits its schema", () => {
    const ajv = new Ajv2020({ strict: false });
    formats.default(ajv);
    ajv.addSchema({ $id: "doc", ...document });
    const messages = [...operations, ...Object.values(document.webhooks).map(({ post }) => post)].flatMap(
      ({ operationId, requestBody, responses }) =>
        [requestBody, ...Object.values(responses)].flatMap((part) =>
          Object.values(part?.content ?? {}).map((media) => ({ operationId, media })),
        ),
    );
    let tried = 0;
    for (const { operationId, media } of messages) {
      const examples = [...Object.values(media.examples ?? {}).map(({ value }) => value), media.example];
      for (const example of examples.filter((one) => one !== undefined)) {
        const schema = JSON.parse(JSON.stringify(media.schema).replaceAll('"#/', '"doc#/'));
        expect(ajv.validate(schema, example), `${operationId}: ${ajv.errorsText()}`).toBe(true);
        tried += 1;
      }
    }
    expect(tried).toBeGreaterThan(30);
  });

  test("each JSON body has an example", () => {
    for (const { operationId, requestBody } of operations) {
      const media = requestBody?.content["application/json"];
      if (media !== undefined) expect(media.example, operationId).toBeDefined();
    }
  });

  test("it has the webhooks that are sent, with their headers", () => {
    expect(Object.keys(document.webhooks)).toEqual([...eventNames]);
    const source = readFileSync(join(root, "packages/server/src/dispatch/compose.ts"), "utf8");
    const sent = [...source.matchAll(/^ +"((?:webhook|sendoff)-[a-z]+)",$/gm)].map((match) => match[1]);
    expect(sent.length).toBe(5);
    for (const { post } of Object.values(document.webhooks)) {
      expect(post.parameters?.map(({ name }) => name)).toEqual(sent);
    }
  });
});

describe("/asyncapi.json", () => {
  test("it is AsyncAPI 3.0 as the schema of AsyncAPI has it", async () => {
    const asyncApi = await getAsyncApi();
    const require = createRequire(import.meta.url);
    const ajv = new Ajv({ strict: false, logger: false });
    formats.default(ajv);
    const validate = ajv.compile(require("@asyncapi/specs/schemas/3.0.0-without-$id.json"));
    expect(validate(asyncApi), ajv.errorsText(validate.errors)).toBe(true);
    expect(Object.keys(asyncApi.components.messages)).toEqual([...eventNames]);
    expect(validate({ ...asyncApi, operations: { receiveEvent: { action: "get" } } })).toBe(false);
  });

  test("each of its examples fits the payload", async () => {
    const asyncApi = await getAsyncApi();
    const ajv = new Ajv2020({ strict: false });
    formats.default(ajv);
    ajv.addSchema({ $id: "doc", ...asyncApi });
    const messages = Object.entries(asyncApi.components.messages);
    for (const [name, { examples }] of messages) {
      expect(examples.length, name).toBeGreaterThan(0);
      for (const { payload } of examples) {
        const schema = { $ref: `doc#/components/messages/${name}/payload` };
        expect(ajv.validate(schema, payload), `${name}: ${ajv.errorsText()}`).toBe(true);
      }
    }
  });
});

describe("/schemas/", () => {
  test("it lists every published schema, and each is the file of the contract", async () => {
    const list = (await (await get("/schemas/")).json()) as { schemas: Array<{ name: string; url: string }> };
    expect(list.schemas.map(({ name }) => name)).toEqual(Object.keys(publishedSchemas));
    for (const { name, url } of list.schemas) {
      const answer = await get(url);
      expect(answer.headers.get("content-type")).toBe("application/schema+json");
      const file = join(root, "packages/contract/schemas", `${name}.json`);
      expect(await answer.text()).toBe(readFileSync(file, "utf8"));
    }
  });

  test.each(["nothing.json", "call-ended", "__proto__", "..%2Fpackage.json", "constructor.json"])(
    "there is no %s",
    async (name) => expectRefused(await server.api("GET", `/schemas/${name}`), "route_not_found"),
  );
});

describe("/docs", () => {
  /** Every page that the first one leads to, by its path. */
  const pages = async (): Promise<Map<string, string>> => {
    const first = await (await get("/docs")).text();
    const found = new Map([["/docs", first]]);
    for (const [, page = ""] of first.matchAll(/href="(docs\/[a-z-]+)"/g)) {
      found.set(`/${page}`, await (await get(`/${page}`)).text());
    }
    return found;
  };

  test("every link of every page leads to something of this server", async () => {
    const all = await pages();
    expect(all.size).toBeGreaterThan(8);
    const anchors = (path: string): string[] =>
      [...(all.get(path) ?? "").matchAll(/ id="([^"]+)"/g)].map((match) => match[1] ?? "");
    const targets = new Set<string>();
    for (const [path, page] of all) {
      expect(page).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
      for (const [, href = ""] of page.matchAll(/(?:href|src)="([^"]+)"/g)) {
        const url = new URL(href, `http://server${path}`);
        if (url.hash !== "") expect(anchors(url.pathname), `${path} -> ${href}`).toContain(url.hash.slice(1));
        targets.add(url.pathname);
      }
    }
    for (const target of targets) expect((await get(target)).status, target).toBe(200);
  });

  test("every operation and every event has its place, and every error code", async () => {
    const all = [...(await pages()).values()].join("");
    for (const { operationId } of operations) expect(all).toContain(`<h2 id="${operationId}">`);
    for (const event of eventNames) expect(all).toContain(`<h2 id="${event}">`);
    for (const code of Object.keys(errorCatalogue)) expect(all).toContain(`<tr id="${code}">`);
  });

  test("no page has a script or a style of its own, and the policy would not let it run", async () => {
    for (const [path, page] of await pages()) {
      expect(page).not.toMatch(/<script|<style|\son\w+=|\sstyle=|javascript:/i);
      const { headers } = await get(path);
      expect(headers.get("content-security-policy")).toBe(
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      );
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("content-type")).toBe("text/html; charset=utf-8");
    }
  });

  test("what stands in the address is not a page, and comes back as JSON", async () => {
    const answer = await server.api("GET", "/docs/%3Cscript%3Ealert(1)%3C%2Fscript%3E");
    expectRefused(answer, "route_not_found");
    expect(answer.headers.get("content-type")).toBe("application/json");
  });
});

test.each([
  "/openapi.json",
  "/asyncapi.json",
  "/schemas/",
  "/schemas/call-ended.json",
  "/docs",
  "/docs/style.css",
])("%s is answered 304 to one who has it, and 200 to one who has another", async (path) => {
  const etag = (await get(path)).headers.get("etag") ?? "";
  expect(etag).toMatch(/^"[\w-]{27}"$/);
  for (const given of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
    const answer = await get(path, { "if-none-match": given });
    expect(answer.status, given).toBe(304);
    expect(answer.headers.get("etag")).toBe(etag);
    expect(await answer.text()).toBe("");
  }
  expect((await get(path, { "if-none-match": '"other"' })).status).toBe(200);
});
