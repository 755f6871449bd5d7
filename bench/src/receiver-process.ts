// A receiver made with the kit, on PostgreSQL, in a process of its own. Its handler does nothing, so what is measured is
// the kit: verifying, storing, claiming, and marking as done.
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createReceiver } from "@sendoff/receiver";
import { nodeHandler } from "@sendoff/receiver/node";
import { postgresStore } from "@sendoff/receiver/postgres";
import pg from "pg";
import type { FromReceiver, ToReceiver } from "./receiver-messages.ts";

const told = { origin: "", handled: 0, failed: 0 };

async function begin(databaseUrl: string, secret: string): Promise<void> {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 10 });
  pool.on("error", () => {});
  const receiver = createReceiver({
    verify: { secrets: secret },
    store: postgresStore(pool),
    // A handler that does nothing is over at once: what counts is how many are claimed by one statement.
    concurrency: 200,
    on: {
      "session.ended": () => {
        told.handled += 1;
      },
    },
    notify({ kind }) {
      if (kind === "handler_failed" || kind === "dead" || kind === "store_failed") told.failed += 1;
    },
  });
  await receiver.start();
  const server = createServer(nodeHandler(receiver)).listen(0, "127.0.0.1");
  await once(server, "listening");
  told.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

process.on("message", (message: ToReceiver) => {
  const ready = message.type === "begin" ? begin(message.databaseUrl, message.secret) : Promise.resolve();
  void ready.then(() => process.send?.(told satisfies FromReceiver));
});
process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => {});
