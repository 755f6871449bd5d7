import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const rate = 8_000;
const seconds = 0.5;
const hertz = 440;

/** Half a second of a tone, as a WAV file of 8 bit. */
export function toneWav(): Buffer {
  const samples = Math.floor(rate * seconds);
  const header = Buffer.alloc(44);
  header.write("RIFF", 0);
  header.writeUInt32LE(36 + samples, 4);
  header.write("WAVEfmt ", 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(rate, 24);
  header.writeUInt32LE(rate, 28);
  header.writeUInt16LE(1, 32);
  header.writeUInt16LE(8, 34);
  header.write("data", 36);
  header.writeUInt32LE(samples, 40);
  const wave = (index: number): number => 128 + 60 * Math.sin((2 * Math.PI * hertz * index) / rate);
  return Buffer.concat([
    header,
    Buffer.from(Uint8Array.from({ length: samples }, (_, index) => wave(index))),
  ]);
}

/** Serves the tone on this machine, for receivers on this machine. */
export interface AudioServer {
  /** The recordingUrl of a session. */
  link(projectId: string, sessionId: string): string;
  /** How many links were made and not fetched to their end yet. */
  unfetched(): number;
  close(): void;
}

export async function serveAudio(): Promise<AudioServer> {
  const audio = toneWav();
  const made = new Set<string>();
  const open = new Set<string>();
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    if (!made.has(path)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": "audio/wav", "content-length": audio.length });
    response.end(request.method === "HEAD" ? undefined : audio, () => {
      if (request.method !== "HEAD") open.delete(path);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    link(projectId, sessionId) {
      const path = `/recordings/projects/${projectId}/sessions/${sessionId}/audio.wav`;
      made.add(path);
      open.add(path);
      return `http://127.0.0.1:${port}${path}`;
    },
    unfetched: () => open.size,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
