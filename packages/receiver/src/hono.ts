import type { Receiver } from "./receiver.ts";

/**
 * A handler for Hono, and for all that hands over a `Request` as `c.req.raw`.
 *
 * @example app.post("/hook", honoHandler(receiver))
 */
export const honoHandler =
  (receiver: Receiver) =>
  (context: { readonly req: { readonly raw: Request } }): Promise<Response> =>
    receiver.handle(context.req.raw);
