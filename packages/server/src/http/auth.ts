import type { IncomingMessage } from "node:http";
import { Refusal } from "../refusal.ts";
import type { Caller, KeyRing } from "../tenancy/keys.ts";
import type { DashboardSessions } from "../tenancy/sign-in.ts";
import { cookieToken, type Origins, refuseCrossSite } from "./dashboard-cookie.ts";
import type { RequestLimits } from "./request-limits.ts";
import type { Access } from "./route.ts";

/** What a caller is found and admitted with. */
export interface AuthParts {
  readonly keys: KeyRing;
  /** Sessions of the dashboard, whose cookie stands for a key. */
  readonly sessions: DashboardSessions;
  readonly limits: RequestLimits;
}

/** What a request says of its sender. */
export interface Sender {
  /** Value of the Authorization header; several such headers come joined and match no key. */
  readonly authorization: string | undefined;
  readonly incoming: IncomingMessage;
  /** Where it comes from, for the dashboard's cookie. */
  readonly origins: Origins;
}

/** Longest Authorization header that is looked at. A key with its scheme has 53 characters. */
const headerMax = 200;

const keyOf = (header: string): string | undefined =>
  header.length > headerMax ? undefined : /^Bearer +(\S+)$/i.exec(header)?.[1];

/**
 * Who sends a request, by the dashboard's cookie. Nothing but the dashboard's own pages may use it.
 *
 * @throws Refusal not_signed_in, cross_site_request or rate_limited.
 */
async function authenticateByCookie(
  { sessions, limits }: AuthParts,
  { incoming, origins }: Sender,
  token: string,
): Promise<Caller> {
  refuseCrossSite(origins);
  const found = await sessions.find(token, () => limits.addressOf(incoming));
  if (found === null) {
    await limits.takeWrongKey(incoming);
    throw new Refusal("not_signed_in", "The session of the dashboard has ended; sign in again.", {
      headers: { "www-authenticate": "Bearer" },
    });
  }
  await limits.takeRequest(found.caller.keyId);
  return found.caller;
}

/**
 * Who sends a request, by its `Authorization: Bearer` header, or without one by the dashboard's cookie: a key in the query string would end up in logs.
 *
 * A key is looked up by its hash, in one statement, whether it was never there, was revoked or is right. It is looked up
 * before wrong ones of its address are counted: who shares an address with somebody who guesses is let in.
 *
 * @throws Refusal missing_key, wrong_key, rate_limited, and by cookie not_signed_in or cross_site_request.
 */
async function authenticate(parts: AuthParts, sender: Sender): Promise<Caller> {
  const { keys, limits } = parts;
  const { authorization: header, incoming } = sender;
  if (header === undefined) {
    const token = cookieToken(sender.origins);
    if (token !== null) return authenticateByCookie(parts, sender, token);
    throw new Refusal("missing_key", 'Send a key in the header "Authorization: Bearer dk_..." or "sk_...".', {
      headers: { "www-authenticate": "Bearer" },
    });
  }
  const key = keyOf(header);
  const caller = key === undefined ? null : await keys.find(key, () => limits.addressOf(incoming));
  if (caller === null) {
    await limits.takeWrongKey(incoming);
    throw new Refusal(
      "wrong_key",
      "The key in the Authorization header is not one of this installation. Expected Bearer and a key that begins with dk_ or sk_.",
      { headers: { "www-authenticate": 'Bearer error="invalid_token"' } },
    );
  }
  await limits.takeRequest(caller.keyId);
  return caller;
}

/** Whether a sender that was let in would be let in now, for what goes on after it was: its key may be revoked since. */
export async function isStillKnown({ keys, sessions, limits }: AuthParts, sender: Sender): Promise<boolean> {
  const { authorization: header } = sender;
  const from = (): string => limits.addressOf(sender.incoming);
  if (header !== undefined) return (await keys.find(keyOf(header) ?? "", from)) !== null;
  const token = cookieToken(sender.origins);
  return token !== null && (await sessions.find(token, from)) !== null;
}

/**
 * Whether the caller may use a route, and who it is.
 *
 * A project that is another's and one that does not exist are refused alike, so that nothing can be learned.
 */
export async function authorize(
  parts: AuthParts,
  sender: Sender,
  access: Access,
  projectId: string | undefined,
  projectExists: (projectId: string) => Promise<boolean>,
): Promise<Caller | null> {
  if (access === "open") return null;
  const caller = await authenticate(parts, sender);
  if (access === "developer" && caller.kind !== "developer") {
    throw new Refusal(
      "developer_key_needed",
      "This takes a developer key (dk_...); given was a project's key (sk_...).",
    );
  }
  if (access !== "project") return caller;
  const id = projectId ?? "";
  const visible =
    caller.kind === "project" ? caller.projectId === id : isUuid(id) && (await projectExists(id));
  if (!visible) {
    throw new Refusal(
      "project_not_found",
      `There is no project ${JSON.stringify(id.slice(0, 60))} that this key may see.`,
    );
  }
  return caller;
}

const isUuid = (text: string): boolean => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text);
