import type { ErrorCode } from "@sendoff/contract";
import type { Context } from "hono";
import type { z } from "zod";
import type { Refusal } from "../refusal.ts";
import type { Caller } from "../tenancy/keys.ts";

/** Who may call a route. There is no default: a route without one does not compile. */
export type Access =
  /** Anybody: it answers nothing of a tenant. */
  | "open"
  /** A developer key. */
  | "developer"
  /** Any key; the route itself narrows to what the caller may see. */
  | "any_key"
  /** A developer key, or the key of the project in the path. */
  | "project";

/** A JSON body that fits its schema, with the text that it was parsed from. */
export interface JsonBody<Value> {
  readonly value: Value;
  /** The whole body as compact JSON text. */
  readonly text: string;
}

/** What a route's handler gets: everything in it has been checked. */
export interface Call<Body, Query> {
  readonly context: Context;
  /** Who calls; null on an open route. */
  readonly caller: Caller | null;
  /** Parts of the path, such as projectId and sessionId. */
  readonly path: Readonly<Record<string, string>>;
  readonly body: JsonBody<Body>;
  readonly query: Query;
  /** Does work of milliseconds when it is the caller's turn: everything else comes in between. */
  readonly inTurn: <Result>(work: () => Result) => Promise<Result>;
}

/** What a handler answers: a status and the value of `data`, or a Response whose body is a stream or is small. */
export type Answer =
  | Response
  | { readonly status: 200 | 201 | 202; readonly data: unknown; readonly nextCursor?: string | null }
  /** A body without `{"data": ...}`, as existing clients of the seeds' API expect it. */
  | { readonly status: 200 | 201; readonly bare: unknown }
  /** A body that is not JSON, or has other headers. Bytes are those that this process keeps, not made for the answer. */
  | {
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: string | Uint8Array | null;
    };

/** A good answer of a route, for the API's description. */
export interface DescribedAnswer {
  readonly status: 200 | 201 | 202 | 204 | 206 | 302 | 304;
  /** When it is answered, as a sentence. */
  readonly when: string;
  /** Schema of `data`, or of the whole body when it is bare. Without one: no JSON body. */
  readonly data?: z.ZodType;
  /** `data` is an array of these, with `nextCursor` beside it. */
  readonly list?: true;
  /** The body is not wrapped in `{"data": ...}`. */
  readonly bare?: true;
  /** Media type of a body that is not JSON. */
  readonly mediaType?: string;
}

/** One operation of the API. The table of these is the router, the tenancy matrix and the API's description. */
export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Parts in braces, as in the documents: `/v1/projects/{projectId}/agent`. */
  readonly path: string;
  readonly access: Access;
  /** What it does, as a sentence. */
  readonly summary: string;
  readonly body?: z.ZodType;
  /** A request without a body is taken for one with `{}`. */
  readonly bodyOptional?: true;
  /** Most bytes of the body; {@link smallBodyBytesMax} without it. */
  readonly bodyBytesMax?: number;
  /** Asked before anything of the body is read. @throws Refusal when the request is not to be taken. */
  readonly before?: (context: Context) => void;
  /** Media types of a body that is not JSON: the route reads it itself. For the description. */
  readonly bodyMediaTypes?: readonly string[];
  readonly query?: z.ZodType;
  readonly answers?: readonly DescribedAnswer[];
  /** Refusals of its own, beside those that concern keys, projects, bodies and the server. */
  readonly errors?: readonly ErrorCode[];
  /** For the description: the body's schema when the route checks parts of it on its own. */
  readonly bodyDescribed?: z.ZodType;
  /** Asked before anything of a request but its first line is looked at. @returns a Refusal when none can be taken now. */
  readonly admit?: (projectId: string) => Refusal | null;
  /** It takes its places itself, or waits for something other than PostgreSQL (request-places.ts). */
  readonly placesItself?: true;
  readonly handle: (call: Call<never, never>) => Promise<Answer> | Answer;
}

/** Writes a route with the types of its body and query. */
export function route<Body extends z.ZodType, Query extends z.ZodType>(definition: {
  readonly method: Route["method"];
  readonly path: string;
  readonly access: Access;
  readonly summary: string;
  readonly body?: Body;
  readonly bodyOptional?: true;
  readonly bodyBytesMax?: number;
  readonly before?: (context: Context) => void;
  readonly bodyMediaTypes?: readonly string[];
  readonly query?: Query;
  readonly answers?: readonly DescribedAnswer[];
  readonly errors?: readonly ErrorCode[];
  readonly bodyDescribed?: z.ZodType;
  readonly admit?: (projectId: string) => Refusal | null;
  readonly placesItself?: true;
  readonly handle: (call: Call<z.output<Body>, z.output<Query>>) => Promise<Answer> | Answer;
}): Route {
  return definition as Route;
}
