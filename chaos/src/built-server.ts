/**
 * The one place where the rig reaches into the built server: the launcher of the embedded PostgreSQL. Once the server
 * exports it, this line becomes `from "@sendoff/server/embedded"`.
 */
export { startEmbedded } from "../../packages/server/dist/database/embedded/embedded.js";
