import { inOnePiece } from "./incoming.ts";
import type { Receiver } from "./receiver.ts";
import { headerOf } from "./verify.ts";

/** What is used of an event of a function URL, an API gateway (both formats) or a load balancer. */
export interface LambdaEvent {
  readonly headers?: Readonly<Record<string, string | undefined>> | null;
  readonly body?: string | null;
  readonly isBase64Encoded?: boolean;
  /** Format 1.0, and load balancers. */
  readonly httpMethod?: string;
  /** Format 2.0, and function URLs. */
  readonly requestContext?: { readonly http?: { readonly method?: string } };
}

export interface LambdaAnswer {
  readonly statusCode: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/**
 * A function for AWS Lambda that answers requests. Lambda stops a process behind its answer, so make the receiver with
 * `work: "manual"` and run its handlers in a function that is called every minute: {@link lambdaWorker}.
 *
 * @example export const handler = lambdaHandler(receiver)
 */
export const lambdaHandler =
  (receiver: Receiver) =>
  async ({
    headers,
    body,
    isBase64Encoded,
    httpMethod,
    requestContext,
  }: LambdaEvent): Promise<LambdaAnswer> => {
    const bytes = Buffer.from(body ?? "", isBase64Encoded === true ? "base64" : "utf8");
    const answer = await receiver.take({
      method: requestContext?.http?.method ?? httpMethod ?? "",
      header: (name) => headerOf(headers ?? {}, name),
      body: inOnePiece(bytes),
    });
    return { statusCode: answer.status, headers: { ...answer.headers }, body: answer.body };
  };

/** What is used of a function's context. */
export interface LambdaContext {
  getRemainingTimeInMillis(): number;
}

/** How much of a function's time is left for what has begun to end. */
const reserveMs = 5_000;

/** A function for AWS Lambda that runs handlers that are due, until none is or its time is nearly over. */
export const lambdaWorker =
  (receiver: Receiver) =>
  async (_event: unknown, context: LambdaContext): Promise<{ readonly handled: number }> => ({
    handled: await receiver.runDue({
      withinMs: Math.max(0, context.getRemainingTimeInMillis() - reserveMs),
    }),
  });
