// What the command line uses of the server.
export { startSendoff } from "./main.ts";
export type { Role, Running } from "./running.ts";
export { StartError } from "./start-error.ts";
export { superviseSendoff } from "./supervisor.ts";
