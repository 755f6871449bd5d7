import { connect, createServer, type Server, type Socket } from "node:net";

/** A real TCP proxy in front of PostgreSQL, with which a test takes the network away. */
export interface DatabaseProxy {
  /** The address of the same database through this proxy. */
  readonly url: string;
  /** Ends all connections and refuses new ones. */
  cut(): Promise<void>;
  /** Keeps connections open, accepts new ones, and forwards nothing, as a server does that is stopped. */
  freeze(): void;
  /** From a connection's first statement on whose message has this text, its answers are dropped. */
  dropAnswersTo(text: string): void;
  /** Forwards everything again. What was sent while frozen is forwarded now; dropped answers are lost. */
  restore(): Promise<void>;
  /** How many connections are open. */
  connections(): number;
  close(): Promise<void>;
}

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

/** @param databaseUrl a database behind a host and a port, or behind a unix socket as that of the tests' PostgreSQL. */
export async function startDatabaseProxy(databaseUrl: string): Promise<DatabaseProxy> {
  const target = new URL(databaseUrl);
  const folder = target.searchParams.get("host");
  const targetPort = target.searchParams.get("port") ?? target.port;
  const pairs = new Set<Pair>();
  let frozen = false;
  let dropped: string | null = null;
  const accept = (client: Socket): void => {
    const server =
      folder === null
        ? connect(Number(targetPort), target.hostname)
        : connect(`${folder}/.s.PGSQL.${targetPort}`);
    const pair = { client, server };
    pairs.add(pair);
    if (frozen) pause(pair);
    let isDropped = false;
    client.on("data", (chunk) => {
      isDropped ||= dropped !== null && chunk.includes(dropped);
      server.write(chunk);
    });
    server.on("data", (chunk) => {
      if (!isDropped) client.write(chunk);
    });
    for (const socket of [client, server]) {
      socket.on("error", () => {});
      socket.on("close", () => {
        pairs.delete(pair);
        client.destroy();
        server.destroy();
      });
    }
  };
  let listening: Server = await listenOn(0, accept);
  const port = (listening.address() as { port: number }).port;
  const cut = async (): Promise<void> => {
    const closed = new Promise((resolve) => listening.close(resolve));
    for (const { client, server } of pairs) {
      client.destroy();
      server.destroy();
    }
    await closed;
  };
  return {
    url: `postgresql://${target.username}@127.0.0.1:${port}${target.pathname}?sslmode=disable`,
    cut,
    freeze() {
      frozen = true;
      for (const pair of pairs) pause(pair);
    },
    dropAnswersTo(text) {
      dropped = text;
    },
    async restore() {
      frozen = false;
      dropped = null;
      for (const { client, server } of pairs) {
        client.resume();
        server.resume();
      }
      if (!listening.listening) listening = await listenOn(port, accept);
    },
    connections: () => pairs.size,
    close: cut,
  };
}

function pause({ client, server }: Pair): void {
  client.pause();
  server.pause();
}

function listenOn(port: number, accept: (client: Socket) => void): Promise<Server> {
  const server = createServer(accept);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}
