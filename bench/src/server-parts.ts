/**
 * The one place where the benchmarks reach into the built server: the launcher of the embedded PostgreSQL; the claim with
 * its marks, so that what is measured is the very text that the dispatcher sends; and the signature, so that all sign alike.
 */
export { startEmbedded } from "../../packages/server/dist/database/embedded/embedded.js";
export { type ClaimRoom, claimDue } from "../../packages/server/dist/outbox/claim.js";
export { findDue } from "../../packages/server/dist/outbox/find.js";
export { createLowWater } from "../../packages/server/dist/outbox/low-water.js";
export { sign } from "../../packages/server/dist/secrets/signature.js";
