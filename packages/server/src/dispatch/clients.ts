import { LRUCache } from "lru-cache";
import { type Dispatcher, Pool } from "undici";

/** Hands out the HTTP client of an origin. */
export interface Clients {
  for(url: URL): Dispatcher;
  close(): Promise<void>;
}

/** Most connections to one origin (performance, "The design that reached it": more is slower). */
const connectionsPerOrigin = 64;
/** Most origins with a client at a time; the one that was used the longest ago is closed. */
const originsMax = 2_000;
/**
 * How long an idle connection may be used again, in milliseconds. Beyond that the other side may be closing it at that
 * very moment, and the POST would be lost unseen (behaviour, section 4: 8 to 40 % were, when measured).
 */
const keepAliveMs = 1_000;
const connectTimeoutMs = 5_000;
const responseHeadersBytesMax = 16 * 1024;

export function createClients(): Clients {
  const pools = new LRUCache<string, Pool>({
    max: originsMax,
    // close() lets what is under way end first.
    dispose: (pool) => void pool.close().catch(() => {}),
  });
  return {
    for(url) {
      let pool = pools.get(url.origin);
      if (pool === undefined) {
        pool = new Pool(url.origin, {
          connections: connectionsPerOrigin,
          pipelining: 1,
          keepAliveTimeout: keepAliveMs,
          keepAliveMaxTimeout: keepAliveMs,
          maxHeaderSize: responseHeadersBytesMax,
          connect: { timeout: connectTimeoutMs, allowH2: false },
        });
        pools.set(url.origin, pool);
      }
      return pool;
    },
    async close() {
      const open = [...pools.values()];
      await Promise.all(open.map((pool) => pool.close().catch(() => {})));
    },
  };
}
