import pg from "pg";
import type { Logger } from "../log.ts";
import { type Connection, Hosts, openClient, type SessionClient } from "./client.ts";

/** Told on each commit that made a delivery due. A hint only: every listener polls as well. */
export const dueChannel = "sendoff_deliveries_due";

export interface Listener {
  stop(): Promise<void>;
}

/** Pause before a lost LISTEN connection is opened again. Meanwhile polling finds what is due. */
const reconnectMs = 1_000;
/**
 * How often a connection that only listens is asked whether its server still is the one to listen to. A server that has
 * become read-only, or a network that has swallowed the connection, tells nothing by itself.
 */
const verifyMs = 10_000;

/**
 * Calls `onNotify` for each NOTIFY on the channel, over a connection of its own that is opened again when it is lost.
 *
 * @param onConnect a statement that each such connection begins with; what it locks is held while the connection lives.
 */
export function listen(
  connection: Connection,
  channel: string,
  onNotify: (payload: string) => void,
  log: Logger,
  onConnect = "SELECT 1",
): Listener {
  const hosts = new Hosts(connection);
  let client: SessionClient | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  const lost = (reason: string): void => {
    clearInterval(timer);
    client?.end().catch(() => {});
    client = undefined;
    if (stopped) return;
    log.warn({ event: "database.listen_lost", reason });
    timer = setTimeout(() => void connect(), reconnectMs);
  };

  const connect = async (): Promise<void> => {
    let opened: SessionClient | undefined;
    try {
      const own = await openClient(hosts, { application_name: "sendoff listen" });
      if (stopped) return void own.end();
      opened = client = own;
      own.on("end", () => {
        if (client === own) lost("the connection ended");
      });
      own.on("notification", ({ payload }) => onNotify(payload ?? ""));
      await own.query(onConnect);
      await own.query(`LISTEN ${pg.escapeIdentifier(channel)}`);
      timer = setInterval(() => {
        own.verify().catch((error: Error) => {
          if (client === own) lost(error.message);
        });
      }, verifyMs);
      // What was notified while nobody listened is found by looking once.
      onNotify("");
    } catch (error) {
      // Of a connection that ended, "end" may have told already.
      if (client === opened) lost(error instanceof Error ? error.message : String(error));
    }
  };
  void connect();

  return {
    async stop() {
      stopped = true;
      clearInterval(timer);
      await client?.end().catch(() => {});
    },
  };
}
