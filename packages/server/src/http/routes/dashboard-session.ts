import type { HttpBindings } from "@hono/node-server";
import { DashboardSession, SignIn } from "@sendoff/contract";
import type { Context } from "hono";
import type pg from "pg";
import { stringify } from "../../json-text.ts";
import { Refusal } from "../../refusal.ts";
import type { Caller, KeyRing } from "../../tenancy/keys.ts";
import { listProjects } from "../../tenancy/projects.ts";
import { type BegunSession, type DashboardSessions, dashboardSessionSeconds } from "../../tenancy/sign-in.ts";
import { cookieToken, type Origins, refuseCrossSite, setCookies } from "../dashboard-cookie.ts";
import type { RequestLimits } from "../request-limits.ts";
import { type Route, route } from "../route.ts";

export interface DashboardSessionParts {
  readonly pool: pg.Pool;
  readonly keys: KeyRing;
  readonly sessions: DashboardSessions;
  readonly limits: RequestLimits;
  /** SENDOFF_PUBLIC_URL, or null. */
  readonly publicUrl: string | null;
  readonly version: string;
}

/** Most bytes of a sign-in: a token or a key of 200 characters. Anybody may send one. */
const signInBytesMax = 1_024;

export function dashboardSessionRoutes(parts: DashboardSessionParts): Route[] {
  const path = "/dashboard/session";
  const originsOf = (context: Context): Origins => ({
    method: context.req.method,
    header: (name) => context.req.header(name),
    publicUrl: parts.publicUrl,
  });
  const view = async (caller: Caller, expiresAt: Date | null): Promise<DashboardSession> => {
    const projectId = caller.kind === "project" ? caller.projectId : null;
    return {
      kind: caller.kind,
      projectId,
      projects: await listProjects(parts.pool, projectId),
      expiresAt: expiresAt?.toISOString() ?? null,
      version: parts.version,
    };
  };
  return [
    route({
      method: "POST",
      path,
      access: "open",
      summary: "Signs in to the dashboard by a link's token or a key, and sets its cookie.",
      body: SignIn,
      bodyBytesMax: signInBytesMax,
      before: (context) => refuseCrossSite(originsOf(context)),
      answers: [{ status: 201, when: "Signed in; Set-Cookie has the session.", data: DashboardSession }],
      errors: ["sign_in_link_invalid", "wrong_key", "cross_site_request", "rate_limited"],
      async handle({ context, body: { value } }) {
        const origins = originsOf(context);
        const begun = await begin(parts, context, value, cookieToken(origins));
        const cookies = setCookies(origins, begun.token, dashboardSessionSeconds);
        return withCookies(cookies, 201, { data: await view(begun.caller, begun.expiresAt) });
      },
    }),
    route({
      method: "GET",
      path,
      access: "any_key",
      summary: "Who is signed in, and which projects may be seen.",
      answers: [{ status: 200, when: "Signed in.", data: DashboardSession }],
      async handle({ context, caller }) {
        const token = cookieToken(originsOf(context));
        const byCookie = context.req.header("authorization") === undefined && token !== null;
        const found = byCookie
          ? await parts.sessions.find(token, () => parts.limits.addressOf(context.env.incoming))
          : null;
        return { status: 200, data: await view(caller as Caller, found?.expiresAt ?? null) };
      },
    }),
    route({
      method: "DELETE",
      path,
      access: "open",
      summary: "Signs out: the session ends and its cookie is cleared.",
      answers: [{ status: 204, when: "Signed out." }],
      errors: ["cross_site_request"],
      async handle({ context }) {
        const origins = originsOf(context);
        refuseCrossSite(origins);
        const token = cookieToken(origins);
        if (token !== null) await parts.sessions.end(token);
        return withCookies(setCookies(origins, null, 0), 204, null);
      },
    }),
  ];
}

const unauthenticated = { headers: { "www-authenticate": "Bearer" } };

/** @throws Refusal wrong_key, sign_in_link_invalid or rate_limited. */
async function begin(
  { keys, sessions, limits }: DashboardSessionParts,
  context: Context,
  { token, key }: SignIn,
  formerToken: string | null,
): Promise<BegunSession> {
  const { incoming } = (context as Context<{ Bindings: HttpBindings }>).env;
  const from = (): string => limits.addressOf(incoming);
  if (key !== undefined) {
    const caller = await keys.find(key, from);
    if (caller !== null) return sessions.beginByKey(caller, formerToken);
    await limits.takeWrongKey(incoming);
    throw new Refusal(
      "wrong_key",
      "This is not a key of this installation. Expected one that begins with dk_ or sk_; start.json has both.",
      unauthenticated,
    );
  }
  const begun = await sessions.beginByLink(token ?? "", from, formerToken);
  if (begun !== null) return begun;
  await limits.takeWrongKey(incoming);
  throw new Refusal(
    "sign_in_link_invalid",
    "This sign-in link was used before, is older than an hour, or is not of this installation. Start the server again for a new one, or sign in with a key.",
    unauthenticated,
  );
}

function withCookies(cookies: readonly string[], status: number, body: object | null): Response {
  const headers = new Headers();
  for (const cookie of cookies) headers.append("set-cookie", cookie);
  if (body === null) return new Response(null, { status, headers });
  headers.set("content-type", "application/json");
  return new Response(stringify(body), { status, headers });
}
