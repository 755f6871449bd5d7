import { z } from "zod";

/** The answer of GET `/healthz`. */
export const Alive = z.object({ status: z.literal("alive") }).meta({ id: "Alive" });
export type Alive = z.infer<typeof Alive>;

/** The answer of GET `/readyz` when this process may be sent requests. */
export const Ready = z.object({ status: z.literal("ready") }).meta({ id: "Ready" });
export type Ready = z.infer<typeof Ready>;
