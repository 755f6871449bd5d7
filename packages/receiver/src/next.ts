import type { Receiver } from "./receiver.ts";

export interface NextOptions {
  /**
   * Next's own `after`, for platforms that stop a process behind its answer: the receiver, made with `work: "manual"`,
   * then runs its handlers behind each answer.
   */
  readonly after?: (work: () => Promise<unknown>) => void;
}

/**
 * A route handler of Next's app router. It needs the runtime `nodejs`.
 *
 * @example export const { POST } = nextHandlers(receiver); // app/hook/route.ts
 */
export const nextHandlers = (
  receiver: Receiver,
  { after }: NextOptions = {},
): { POST(request: Request): Promise<Response> } => ({
  async POST(request) {
    const response = await receiver.handle(request);
    if (response.ok) after?.(() => receiver.runDue());
    return response;
  },
});
