import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { type Address, isWithin, kindOf, parseAddress } from "./address.ts";
import { looksLikeInspector } from "./inspector-url.ts";
import type { EgressPolicy } from "./policy.ts";

/** What is this installation itself: a webhook that came back to its API could feed itself. */
export interface Own {
  /** Adds an address where the API is reached. */
  addUrl(url: string): void;
  /** Whether a URL is on this installation. */
  isTarget(url: URL): boolean;
  /** Whether a URL is the built-in inspector's, the one thing of our own that takes webhooks. */
  isInspector(url: URL): boolean;
  /** Asks once more where the API is reached: another process may have started it. */
  refresh(): Promise<void>;
  /** Whether a connection would come back to this machine or process, and no operator has opened that. */
  isSelf(policy: EgressPolicy, address: Address, port: number): boolean;
}

export interface OwnParts {
  /** The port that this process listens on; null when it has none. */
  readonly listenPort: number | null;
  /** Asks where the API is reached; may reject while no API has ever started. */
  readonly publicUrl: () => Promise<string>;
  /** Addresses of this machine's interfaces; the system's when it is missing. */
  readonly interfaces?: () => readonly string[];
}

/** How long the list of interfaces is believed, in milliseconds: reading it takes longer than all the rest. */
const interfacesForMs = 5_000;
const loopbackNames = ["localhost", "127.0.0.1", "[::1]"];

export function createOwn(parts: OwnParts): Own {
  const origins = new Set<string>();
  const hosts = new Set<string>();
  const interfaces = parts.interfaces ?? systemInterfaces;
  let read: { readonly atMs: number; readonly addresses: ReadonlySet<string> } | null = null;

  const addresses = (): ReadonlySet<string> => {
    const now = performance.now();
    if (read === null || now - read.atMs > interfacesForMs) {
      const texts = interfaces().map((text) => parseAddress(text)?.toNormalizedString() ?? "");
      read = { atMs: now, addresses: new Set(texts) };
    }
    return read.addresses;
  };

  const own: Own = {
    addUrl(text) {
      const url = new URL(text);
      origins.add(url.origin);
      const names = loopbackNames.includes(url.hostname) ? loopbackNames : [];
      const port = url.port === "" ? "" : `:${url.port}`;
      for (const name of names) origins.add(`${url.protocol}//${name}${port}`);
      // At an address there may be others at other ports; a name is ours as a whole.
      if (names.length === 0 && isIP(url.hostname.replace(/^\[|\]$/g, "")) === 0) hosts.add(url.hostname);
    },
    isTarget: (url) => hosts.has(url.hostname) || origins.has(url.origin),
    isInspector: (url) => origins.has(url.origin) && looksLikeInspector(url),
    async refresh() {
      await parts.publicUrl().then(own.addUrl, () => {});
    },
    isSelf(policy, address, port) {
      const here = addresses().has(address.toNormalizedString());
      if (port === parts.listenPort) return here || kindOf(address) === "loopback";
      return here && kindOf(address) !== "loopback" && !isWithin(address, policy.allow);
    },
  };
  return own;
}

function systemInterfaces(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
}
