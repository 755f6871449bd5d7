export type { Context, Handler, Handlers, SessionHandler } from "./handle.ts";
export type { Answer, Incoming, Limits } from "./incoming.ts";
export { inOnePiece } from "./incoming.ts";
export type { JoinOptions, Session } from "./join.ts";
export { memoryStore } from "./memory.ts";
export type { Notice, Notify } from "./notices.ts";
export * from "./payloads.ts";
export {
  createReceiver,
  type Forwarded,
  type Receiver,
  type Sink,
  type SinkReceiverOptions,
  type StoreReceiverOptions,
} from "./receiver.ts";
export { type RefusalCode, Refused } from "./refused.ts";
export type { RetryOptions } from "./retry.ts";
export type { Accepted, Claim, DeadEvent, NewEvent, Store, StoredEvent, WorkKind } from "./store.ts";
export { ClaimLost, GiveUp } from "./store.ts";
export { type HeaderReader, headerOf, type VerifyOptions, verify } from "./verify.ts";
