// The HTTP half that all peers have in common: node:http alone, which costs less than any framework.
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { Job, PeerSite } from "./peer.ts";

interface Conversation {
  readonly currentNodeId: string;
  readonly messagesCount: number;
  readonly extractedVariables: object;
}

/** Takes Sendoff's report of a conversation's end, so that one load fits all. Resolves with the origin. */
export function listenForReports(site: PeerSite, add: (job: Job) => Promise<unknown>): Promise<string> {
  const server = createServer((request, response) => {
    const reply = (status: number, answer: object): void => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
    };
    accept(site, request, add).then(
      (sessionId) =>
        sessionId === null ? reply(401, { error: "unknown key" }) : reply(200, { data: { sessionId } }),
      (error: unknown) => reply(500, { error: String(error) }),
    );
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    });
  });
}

async function accept(
  site: PeerSite,
  request: IncomingMessage,
  add: (job: Job) => Promise<unknown>,
): Promise<string | null> {
  const [, , , projectId = "", , sessionId = ""] = (request.url ?? "").split("/");
  const url = site.urls[projectId];
  if (request.headers.authorization !== `Bearer ${site.key}` || url === undefined) return null;
  const conversation = JSON.parse(await textOf(request)) as Conversation;
  await add({
    webhookId: `msg_${randomUUID().replaceAll("-", "")}`,
    sessionId,
    url,
    body: JSON.stringify({
      event: "session.ended",
      sessionId,
      timestamp: new Date().toISOString(),
      currentNodeId: conversation.currentNodeId,
      messagesCount: conversation.messagesCount,
      extractedVariables: conversation.extractedVariables,
      reason: "session_ended",
    }),
  });
  return sessionId;
}

/** By events: an asynchronous iterator costs more. */
function textOf(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
    request.on("error", reject);
  });
}
