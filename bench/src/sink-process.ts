// The receiver of all deliveries, in a process of its own so that its work does not delay the load.
import { type AddressInfo, createServer, type Socket } from "node:net";
import { readMessage } from "./http-text.ts";
import type { Behaviour, FromSink, ToSink } from "./sink-messages.ts";
import { nowNs } from "./time.ts";

const okAnswer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const behaviours = new Map<number, Behaviour>();
const held = new Map<number, Set<Socket>>();
let keys: string[] = [];
let atNs: number[] = [];
let counted = 0;

function serve(socket: Socket): void {
  let chunks: Buffer[] = [];
  let firstByteNs = 0;
  const port = socket.localPort ?? 0;
  socket.setNoDelay(true);
  socket.on("data", (chunk: Buffer) => {
    if (chunks.length === 0) firstByteNs = nowNs();
    chunks.push(chunk);
    const request = readMessage(chunks.length === 1 ? chunk : Buffer.concat(chunks));
    if (request === null) return;
    chunks = [];
    if (behaviours.get(port) === "count") {
      counted += 1;
      socket.write(okAnswer);
      return;
    }
    const { sessionId, event } = JSON.parse(request.body) as { sessionId: string; event: string };
    keys.push(`${sessionId} ${event}`);
    atNs.push(firstByteNs);
    if (behaviours.get(port) === "hold") heldOf(port).add(socket);
    else socket.write(okAnswer);
  });
  socket.on("close", () => held.get(port)?.delete(socket));
  // A sender that gives up may reset the connection.
  socket.on("error", () => socket.destroy());
}

function heldOf(port: number): Set<Socket> {
  const sockets = held.get(port) ?? new Set();
  held.set(port, sockets);
  return sockets;
}

function listenOnce(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer(serve);
    server.listen(0, "127.0.0.1", 1_024, () => resolve((server.address() as AddressInfo).port));
  });
}

async function answer(message: ToSink): Promise<FromSink> {
  switch (message.type) {
    case "listen":
      return {
        type: "listening",
        ports: await Promise.all(Array.from({ length: message.ports }, listenOnce)),
      };
    case "behave":
      for (const port of message.ports) {
        behaviours.set(port, message.behaviour);
        if (message.behaviour === "hold") continue;
        for (const socket of held.get(port) ?? []) socket.write(okAnswer);
        held.delete(port);
      }
      return { type: "behaving" };
    case "count":
      return { type: "counted", requests: counted };
    case "take": {
      const arrivals = { keys, atNs };
      keys = [];
      atNs = [];
      return { type: "arrived", ...arrivals };
    }
  }
}

process.on("message", (message: ToSink) => {
  void answer(message).then((reply) => process.send?.(reply));
});
// It must not outlive the benchmark, nor end before it by the same Ctrl-C.
process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => {});
