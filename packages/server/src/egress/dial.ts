import { connect, type Socket } from "node:net";
import { connect as connectTls, type SecureContext, type TLSSocket } from "node:tls";
import { parseAddress } from "./address.ts";

/** Most of a name's addresses that are tried. */
const addressesMax = 6;

/** Families in turn, so that one that leads nowhere costs one try and not all the time there is. */
export function inTurn(addresses: readonly string[]): string[] {
  const isV6 = (address: string): boolean => address.includes(":");
  const [v4, v6] = [addresses.filter((address) => !isV6(address)), addresses.filter(isV6)];
  return addresses
    .flatMap((_, n) => [v4[n], v6[n]])
    .filter((address) => address !== undefined)
    .slice(0, addressesMax);
}

/**
 * Connects to the first of some addresses that takes a connection.
 *
 * @param budgetMs for all of them together; what is left is shared among those not yet tried.
 * @throws Error of the last address, or the signal's reason.
 */
export async function dial(
  addresses: readonly string[],
  port: number,
  budgetMs: number,
  signal: AbortSignal,
): Promise<Socket> {
  const endMs = performance.now() + budgetMs;
  let last: unknown = new Error("no address");
  for (const [tried, address] of addresses.entries()) {
    const shareMs = (endMs - performance.now()) / (addresses.length - tried);
    try {
      return await dialOne(address, port, shareMs, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      last = error;
    }
  }
  throw last;
}

function dialOne(address: string, port: number, limitMs: number, signal: AbortSignal): Promise<Socket> {
  const socket = connect({ host: address, port, noDelay: true });
  return settled(socket, "connect", Math.max(1, limitMs), signal).then(() => {
    // The system has the last word on where a connection went; not one byte is written before it is known.
    const reached = parseAddress(socket.remoteAddress ?? "");
    if (reached?.toNormalizedString() === parseAddress(address)?.toNormalizedString()) return socket;
    socket.destroy();
    throw new Error(`connected to ${socket.remoteAddress} instead of ${address}`);
  });
}

/**
 * The TLS handshake on a connected socket. Certificate and SNI are by name although an address was dialled, and
 * verification cannot be turned off by the environment. HTTP/1.1 alone is offered.
 *
 * @param host name, or address when the operator has opened it as a literal.
 * @param secureContext which certificates are trusted.
 */
export function encrypt(
  socket: Socket,
  host: string,
  secureContext: SecureContext,
  limitMs: number,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const isAddress = parseAddress(host) !== null;
  const secure = connectTls({
    socket,
    host,
    ...(isAddress ? {} : { servername: host }),
    ALPNProtocols: ["http/1.1"],
    rejectUnauthorized: true,
    secureContext,
  });
  return settled(secure, "secureConnect", limitMs, signal).then(() => secure);
}

/** Waits until a socket is ready; destroys it when it fails, takes too long or is not wanted any more. */
function settled(socket: Socket, ready: string, limitMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (error: Error | null): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      socket.off(ready, onReady);
      socket.off("close", onClose);
      if (error === null) {
        resolve();
        return;
      }
      socket.destroy();
      reject(error);
    };
    const onReady = (): void => end(null);
    const onClose = (): void => end(new Error("the connection was closed"));
    const onAbort = (): void => end(signal.reason as Error);
    const timer = setTimeout(() => end(new Error("it took too long")), limitMs);
    // Stays for good: an error that comes later, with nobody listening, would end the process.
    socket.on("error", end);
    socket.once(ready, onReady);
    socket.once("close", onClose);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}
