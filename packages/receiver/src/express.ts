import { nodeHandler } from "./node.ts";
import type { Receiver } from "./receiver.ts";

/**
 * A handler for Express. Mount it before `express.json()`: a signature is over the bytes.
 *
 * @example app.post("/hook", expressHandler(receiver))
 */
export const expressHandler = (receiver: Receiver): ReturnType<typeof nodeHandler> => nodeHandler(receiver);
