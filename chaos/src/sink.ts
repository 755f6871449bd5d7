// The receiver of all webhooks, a process of its own: node sink.js <seed> <log file>. Prints its port; ends with its
// standard input, so that it cannot outlive the rig.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { behaviours, forbiddenAddress, forbiddenPath, reactionTo } from "./behaviours.ts";
import { openJournal } from "./journal.ts";
import { nowNs } from "./monotonic.ts";
import { type SinkEntry, sha256, storedForm } from "./sink-log.ts";

const [seed = "", logPath = ""] = process.argv.slice(2);
const journal = openJournal<SinkEntry>(logPath);
const loggedHeaders = [
  "webhook-id",
  "webhook-timestamp",
  "webhook-signature",
  "sendoff-attempt",
  "sendoff-trigger",
  "content-type",
  "user-agent",
];
let lastId = 0;

const server = createServer((request, response) => {
  const id = ++lastId;
  const path = request.url ?? "";
  const headers = Object.fromEntries(
    loggedHeaders.flatMap((name) => {
      const value = request.headers[name];
      return value === undefined ? [] : [[name, String(value)]];
    }),
  );
  journal.write({ t: "begin", id, ns: nowNs(), wallMs: Date.now(), path, headers });
  // Whichever comes first ends the attempt; later ones add nothing. The other side's FIN is told by "end" alone at
  // once: "close" waits for our own half.
  const closed = (): void => journal.write({ t: "closed", id, ns: nowNs() });
  const { socket } = request;
  socket.once("end", closed);
  response.once("finish", () => journal.write({ t: "sent", id, ns: nowNs() }));
  response.once("close", () => {
    socket.off("end", closed);
    closed();
  });
  if (path.startsWith(forbiddenPath)) {
    journal.write({ t: "trespass", ns: nowNs(), what: `${request.method} ${path}: a redirect was followed` });
  }
  readBody(request, (body) => {
    const { event, session } = namesOf(body);
    const hash = sha256(storedForm(body));
    journal.write({ t: "body", id, ns: nowNs(), body, sha256: hash, event, session });
    react(id, path, headers, response);
  });
});

function readBody(request: IncomingMessage, whenWhole: (body: string) => void): void {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => whenWhole(Buffer.concat(chunks).toString("utf8")));
  request.on("error", () => {});
}

function namesOf(body: string): { event: string | null; session: string | null } {
  try {
    const { event, sessionId } = JSON.parse(body) as Record<string, unknown>;
    return {
      event: typeof event === "string" ? event : null,
      session: typeof sessionId === "string" ? sessionId : null,
    };
  } catch {
    return { event: null, session: null };
  }
}

function react(id: number, path: string, headers: Record<string, string>, response: ServerResponse): void {
  const behaviour = behaviours.find(({ name }) => path === `/${name}`);
  if (behaviour === undefined) {
    response.writeHead(404).end();
    return;
  }
  const { "webhook-id": webhookId = "", "sendoff-attempt": attempt = "" } = headers;
  const reaction = reactionTo(seed, behaviour, webhookId, attempt);
  if (reaction.kind === "never") return;
  const act = (): void => {
    if (response.destroyed) return;
    if (reaction.kind === "close") {
      response.destroy();
      return;
    }
    // Logged before it leaves: nobody may have seen an answer that the log does not have.
    journal.write({ t: "answer", id, ns: nowNs(), status: reaction.status });
    const location = reaction.status === 307 ? { location: `${forbiddenPath}/${behaviour.name}` } : {};
    response.writeHead(reaction.status, { "content-type": "text/plain", ...location }).end("ok");
  };
  if (reaction.afterMs === 0) act();
  else setTimeout(act, reaction.afterMs);
}

// Reached by nobody, if the address guard works.
const forbidden = createTcpServer((socket) => {
  journal.write({ t: "trespass", ns: nowNs(), what: `a connection to the forbidden ${forbiddenAddress}` });
  socket.destroy();
});
forbidden.on("error", () => {});

server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  forbidden.listen(port, forbiddenAddress, () => process.stdout.write(`${port}\n`));
});
process.stdin.on("end", () => process.exit(0)).resume();
// Ctrl-C reaches the whole group of the terminal; the sink goes when the rig lets it.
process.on("SIGINT", () => {});
