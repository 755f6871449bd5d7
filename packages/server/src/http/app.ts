import type { HttpBindings } from "@hono/node-server";
import { SessionId } from "@sendoff/contract";
import { type Context, Hono } from "hono";
import { LRUCache } from "lru-cache";
import type pg from "pg";
import type { z } from "zod";
import type { Logger } from "../log.ts";
import { Refusal } from "../refusal.ts";
import type { Caller } from "../tenancy/keys.ts";
import { projectExists } from "../tenancy/projects.ts";
import { createAdmission } from "./admission.ts";
import { responseOf } from "./answer.ts";
import { type AuthParts, authorize, isStillKnown, type Sender } from "./auth.ts";
import { parseJson, readJsonBytes, smallBodyBytesMax } from "./body.ts";
import { asRefusal } from "./failure.ts";
import { headerOf } from "./headers.ts";
import { errorBody, jsonHeaders } from "./json-answer.ts";
import type { Answering } from "./listen.ts";
import type { RequestBounds, RequestShare } from "./request-bounds.ts";
import type { Call, JsonBody, Route } from "./route.ts";
import type { StreamVariables } from "./sse.ts";
import { validate } from "./validate.ts";

export interface AppParts extends AuthParts {
  readonly pool: pg.Pool;
  readonly log: Logger;
  readonly routes: readonly Route[];
  readonly bounds: RequestBounds;
  /** SENDOFF_PUBLIC_URL, or null. */
  readonly publicUrl: string | null;
}

type AppEnv = { Bindings: HttpBindings; Variables: StreamVariables };
type AppContext = Context<AppEnv>;

/** Projects are never deleted, so one that was seen need not be looked up again for a while. */
const seenProjectsMax = 10_000;
const seenProjectsMs = 60_000;

/** The HTTP application: each request goes by way of route, key, path, query and body to its handler. */
export function createApp(parts: AppParts): Answering {
  const app = new Hono<AppEnv>();
  const seen = new LRUCache<string, true>({ max: seenProjectsMax, ttl: seenProjectsMs });
  const exists = async (projectId: string): Promise<boolean> => {
    if (seen.has(projectId)) return true;
    const found = await projectExists(parts.pool, projectId);
    if (found) seen.set(projectId, true);
    return found;
  };
  // One handler for a path, whatever the method: where Hono finds several it runs each through a chain of promises.
  for (const [path, routes] of routesByPath(parts.routes)) {
    const byMethod = new Map(routes.map((route) => [route.method as string, route]));
    app.all(honoPath(path), (context) => {
      const { method } = context.req;
      const route = byMethod.get(method) ?? (method === "HEAD" ? byMethod.get("GET") : undefined);
      if (route !== undefined) return serve(parts, exists, route, context);
      const methods = [...byMethod.keys()];
      throw new Refusal(
        "method_not_allowed",
        `${method} is not for this path; expected ${methods.join(" or ")}.`,
        { headers: { allow: methods.join(", ") } },
      );
    });
  }
  app.notFound((context) =>
    refusalResponse(
      new Refusal(
        "route_not_found",
        `There is nothing at ${context.req.method} ${context.req.path.slice(0, 200)}.`,
      ),
    ),
  );
  app.onError((error) => refusalResponse(asRefusal(parts.log, error)));
  return {
    admission: createAdmission(parts.routes),
    answer: (request, env) => app.fetch(request, env as HttpBindings),
  };
}

async function serve(
  parts: AppParts,
  exists: (projectId: string) => Promise<boolean>,
  route: Route,
  context: AppContext,
): Promise<Response> {
  const path: Record<string, string> = context.req.param();
  const sender: Sender = {
    authorization: headerOf(context.env.incoming, "authorization"),
    incoming: context.env.incoming,
    origins: {
      method: context.req.method,
      header: (name) => context.req.header(name),
      publicUrl: parts.publicUrl,
    },
  };
  const caller = await authorize(parts, sender, route.access, path.projectId, exists);
  context.set("isSenderKnown", () => isStillKnown(parts, sender));
  if (path.sessionId !== undefined) {
    validate(SessionId, path.sessionId, "invalid_path", "the session's id in the path");
  }
  const query = route.query && validate(route.query, singleQuery(context), "invalid_query", "the query");
  route.before?.(context);
  const share = parts.bounds.share(ownerOf(parts, caller, context));
  try {
    const body = route.body && (await readBody(route, context, share));
    const call = { context, caller, path, query, body, inTurn: share.run } as unknown as Call<never, never>;
    return responseOf(await route.handle(call), context.env.outgoing, share.takeAnswer);
  } finally {
    share.releaseBody();
  }
}

/** Who pays for a request: a project whatever the key, all developers together, a stranger by its address. */
function ownerOf({ limits }: AppParts, caller: Caller | null, { env }: AppContext): string {
  if (caller === null) return limits.addressOf(env.incoming);
  return caller.kind === "project" ? caller.projectId : caller.kind;
}

async function readBody(
  route: Route,
  context: AppContext,
  share: RequestShare,
): Promise<JsonBody<unknown> | undefined> {
  const { body: schema } = route;
  if (schema === undefined) return undefined;
  if (route.bodyOptional && isWithoutBody(context.env.incoming))
    return checked(schema, { value: {}, text: "{}" });
  const bytesMax = route.bodyBytesMax ?? smallBodyBytesMax;
  const bytes = await readJsonBytes(context.env.incoming, bytesMax, share.takeBody);
  return share.parse(bytes.length, () => checked(schema, parseJson(bytes)));
}

const checked = (schema: z.ZodType, { value, text }: JsonBody<unknown>): JsonBody<unknown> => ({
  value: validate(schema, value, "invalid_body", "the body"),
  text,
});

/** Whether no byte of a body follows (RFC 9112, section 6.3). */
const isWithoutBody = (request: HttpBindings["incoming"]): boolean =>
  headerOf(request, "transfer-encoding") === undefined &&
  Number(headerOf(request, "content-length") ?? 0) === 0;

/** The query's parameters; one that stands twice is refused, for nobody can know which was meant. */
function singleQuery(context: AppContext): Record<string, string> {
  // Not an object until the end: as a name in a query, __proto__ is as good as any.
  const single = new Map<string, string>();
  for (const [name, value] of new URL(context.req.url).searchParams) {
    if (single.has(name)) {
      throw new Refusal(
        "invalid_query",
        `The query has ${JSON.stringify(name.slice(0, 60))} more than once; expected it once.`,
      );
    }
    single.set(name, value);
  }
  return Object.fromEntries(single);
}

const jsonResponse = (status: number, body: string, headers: Record<string, string> = {}): Response =>
  new Response(body, { status, headers: { ...jsonHeaders, ...headers } });

const refusalResponse = (refusal: Refusal): Response =>
  jsonResponse(refusal.status, errorBody(refusal), refusal.headers);

/** `{name}` is one part of a path, `{name+}` is all that follows. */
const honoPath = (path: string): string =>
  path.replace(/\{(\w+)\}/g, ":$1").replace(/\{(\w+)\+\}/g, ":$1{.+}");

function routesByPath(routes: readonly Route[]): Map<string, Route[]> {
  const byPath = new Map<string, Route[]>();
  for (const route of routes) byPath.set(route.path, [...(byPath.get(route.path) ?? []), route]);
  return byPath;
}
