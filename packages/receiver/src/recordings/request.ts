import { lookup as systemLookup } from "node:dns";
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import type { LookupFunction } from "node:net";
import { DownloadFailed, Interrupted } from "./failure.ts";
import { checkAddress, checkLink, type LinkRules } from "./link.ts";

/** Finds the addresses of a name; all of them are checked. */
export type Resolve = (host: string) => Promise<readonly { address: string; family: number }[]>;

export interface RequestOptions extends LinkRules {
  readonly resolve: Resolve;
  /** Certificates to trust instead of the system's. */
  readonly ca: string | undefined;
  /** How long the host may be silent, in ms. */
  readonly idleMs: number;
  readonly signal: AbortSignal;
}

export const resolveBySystem: Resolve = (host) =>
  new Promise((resolve, reject) => {
    systemLookup(host, { all: true }, (error, addresses) => (error ? reject(error) : resolve(addresses)));
  });

const redirectsMax = 3;
const redirects = new Set([301, 302, 303, 307, 308]);

/**
 * Sends one GET, to checked addresses alone. A redirect is followed only to where the link itself could have led.
 *
 * @param from first byte that is wanted; 0 asks for all.
 * @param etag what the first answer had; a range of another file is not wanted.
 * @throws DownloadFailed when it will not be better later. @throws Interrupted when it may.
 */
export async function get(
  link: string,
  from: number,
  etag: string | null,
  options: RequestOptions,
): Promise<IncomingMessage> {
  let next = link;
  for (let times = 0; times <= redirectsMax; times += 1) {
    const url = checkLink(next, options);
    const response = await send(url, from, etag, options);
    const { location } = response.headers;
    if (!redirects.has(response.statusCode ?? 0) || location === undefined) return response;
    response.destroy();
    try {
      next = new URL(location, url).href;
    } catch {
      throw new DownloadFailed("link_refused", "the link was redirected to what is no URL");
    }
  }
  throw new DownloadFailed("wrong_answer", `the link was redirected more than ${redirectsMax} times`);
}

function send(
  url: URL,
  from: number,
  etag: string | null,
  options: RequestOptions,
): Promise<IncomingMessage> {
  const isPlain = url.protocol === "http:";
  const lookup: LookupFunction = (host, { all }, callback) => {
    options.resolve(host).then(
      (addresses) => {
        try {
          // One forbidden address among good ones is enough: which one is dialled is not up to the name's owner.
          for (const { address } of addresses) checkAddress(address, options.development);
          const [first] = addresses;
          if (first === undefined) throw new Interrupted(`${host} has no address`);
          if (all) callback(null, [...addresses]);
          else callback(null, first.address, first.family);
        } catch (error) {
          callback(error as Error, "", 4);
        }
      },
      (error: Error) => callback(error, "", 4),
    );
  };
  return new Promise((resolve, reject) => {
    const request = (isPlain ? requestHttp : requestHttps)(url, {
      // Its own agent: a connection of a shared one may have been opened by a lookup that checks nothing, or by a proxy.
      agent: isPlain ? new HttpAgent() : new HttpsAgent({ rejectUnauthorized: true, ca: options.ca }),
      headers: {
        accept: "audio/*, application/ogg, application/octet-stream",
        "accept-encoding": "identity",
        ...(from > 0 ? { range: `bytes=${from}-` } : {}),
        ...(from > 0 && etag !== null && !etag.startsWith("W/") ? { "if-range": etag } : {}),
      },
      lookup,
      signal: options.signal,
      timeout: options.idleMs,
    });
    request.on("timeout", () => request.destroy(new Interrupted(`silent for ${options.idleMs} ms`)));
    request.on("error", (error) => {
      const isFinal = error instanceof DownloadFailed;
      reject(isFinal ? error : new Interrupted(error.message, { cause: error }));
    });
    request.on("response", resolve);
    request.end();
  });
}
