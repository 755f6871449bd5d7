import type { Socket } from "node:net";
import { createSecureContext, type SecureContext } from "node:tls";
import { Refusal } from "../refusal.ts";
import { type Address, parseAddress } from "./address.ts";
import { dial, encrypt, inTurn } from "./dial.ts";
import { looksLikeInspector, postUrl } from "./inspector-url.ts";
import type { Own } from "./own.ts";
import { addressIsOpen, type EgressPolicy, isDenied, portOf } from "./policy.ts";
import type { Resolver } from "./resolver.ts";
import { type Broken, brokenByForm, brokenByText, brokenByUrl, forbiddenAddress } from "./url-rules.ts";

/** What keeps POSTs away from where they may not go: one object, asked at save, at test and at every attempt. */
export interface Guard {
  /**
   * Checks a URL that is to be saved, its addresses included. What the text refuses is refused without a look-up. A name
   * that nobody can resolve at this moment is taken: each attempt looks again (ADR 0020).
   *
   * @param path where the URL stands in the body.
   * @returns the URL in canonical form; of the built-in inspector the one that takes posts only.
   * @throws Refusal that names the rule.
   */
  checkForSaving(input: string, path: string): Promise<string>;
  /** Checks a URL that is to be saved by the rules that need no look at the network; as above. */
  checkText(input: string, path: string): string;
  /** The rule that forbids an attempt, as far as the URL alone tells; null when none does. */
  ruleAgainst(url: URL): string | null;
  /**
   * Opens a connection for an attempt: one look-up, every address checked, only those that were checked are dialled.
   *
   * @param progress told which step begins.
   * @param signal ends it at once, at whatever step.
   * @throws Blocked when a rule forbids it: not one packet has left to that address. Any other error belongs to the step.
   */
  open(url: URL, progress: Progress, signal: AbortSignal): Promise<Socket>;
}

/** Where the opening of a connection stands. */
export interface Progress {
  step: "dns" | "connect" | "tls";
}

/** A rule forbids the connection. The rule is for the operator's log; the customer gets one wording for all. */
export class Blocked extends Error {
  readonly rule: string;

  constructor(rule: string) {
    super(`forbidden (${rule})`);
    this.rule = rule;
  }
}

export interface GuardParts {
  readonly policy: EgressPolicy;
  readonly own: Own;
  readonly resolver: Resolver;
  /** Trusted certificates instead of those of Node.js and NODE_EXTRA_CA_CERTS. */
  readonly ca?: readonly string[];
  readonly budgets?: Budgets;
}

/** Bounds within an attempt's deadline, in milliseconds. */
interface Budgets {
  readonly dnsMs: number;
  readonly connectMs: number;
  readonly tlsMs: number;
}

/** Hostile cases, parameters. A handshake has the attempt's deadline; its own bound is the longest of those. */
const standardBudgets: Budgets = { dnsMs: 3_000, connectMs: 5_000, tlsMs: 30_000 };

/** `localhost` means the loopback interface and nobody is asked (RFC 6761). */
const localhost = ["127.0.0.1", "::1"];

export function createGuard(parts: GuardParts): Guard {
  const { policy, own, resolver } = parts;
  const budgets = parts.budgets ?? standardBudgets;

  let secureContext: SecureContext | null = null;
  /** Made once: reading the authorities of Node.js for each connection would cost more than its handshake. */
  const trusted = (): SecureContext => {
    secureContext ??= createSecureContext(parts.ca === undefined ? {} : { ca: [...parts.ca] });
    return secureContext;
  };

  const addressesOf = async (url: URL, signal: AbortSignal): Promise<readonly string[]> => {
    const host = url.hostname.replace(/^\[|\]$/g, "");
    if (parseAddress(host) !== null) return [host];
    if (host === "localhost") return localhost;
    return within(resolver.resolve(host), budgets.dnsMs, signal);
  };

  /** The rule that forbids one of a URL's addresses; a good one beside it does not help. */
  const brokenByAddresses = (url: URL, addresses: readonly string[]): Broken | null => {
    const inspector = own.isInspector(url);
    for (const text of addresses) {
      const address = parseAddress(text);
      if (address === null) return forbiddenAddress;
      // Where the operator has put Sendoff itself, its inspector is reached, unless he denies the address.
      if (inspector ? isDenied(policy, address) : !isOpen(url, address)) return forbiddenAddress;
      if (!inspector && own.isSelf(policy, address, portOf(url))) return selfConnection;
    }
    return null;
  };

  const isOpen = (url: URL, address: Address): boolean => addressIsOpen(policy, url.protocol, address);

  const ruleAgainst = (url: URL): string | null => brokenByUrl(url, policy, own)?.rule ?? null;

  const checkText = (input: string, path: string): string => {
    const byText = brokenByText(input);
    if (byText !== null) throw refusalOf(input, byText, path);
    const url = new URL(input);
    const broken = brokenByUrl(url, policy, own) ?? brokenByForm(input, url);
    if (broken !== null) throw refusalOf(input, broken, path);
    return own.isInspector(url) ? postUrl(url.href) : url.href;
  };

  return {
    checkText,
    ruleAgainst,
    async checkForSaving(input, path) {
      const href = checkText(input, path);
      const url = new URL(href);
      const addresses = await addressesOf(url, new AbortController().signal).catch(() => []);
      const broken = brokenByAddresses(url, addresses);
      if (broken !== null) throw refusalOf(input, broken, path);
      return href;
    },
    async open(url, progress, signal) {
      // A worker learns from the database where the API is; it may have started after the worker.
      if (looksLikeInspector(url) && !own.isTarget(url)) await own.refresh();
      const rule = ruleAgainst(url);
      if (rule !== null) throw new Blocked(rule);
      progress.step = "dns";
      const addresses = await addressesOf(url, signal);
      if (addresses.length === 0) throw new Error("the name has no address");
      const broken = brokenByAddresses(url, addresses);
      if (broken !== null) throw new Blocked(broken.rule);
      progress.step = "connect";
      const socket = await dial(inTurn(addresses), portOf(url), budgets.connectMs, signal);
      if (url.protocol === "http:") return socket;
      progress.step = "tls";
      const host = url.hostname.replace(/^\[|\]$/g, "");
      return encrypt(socket, host, trusted(), budgets.tlsMs, signal);
    },
  };
}

const selfConnection: Broken = {
  rule: "self_connection",
  expected: "it leads back to this machine; expected the address of a receiver.",
};

function refusalOf(input: string, { rule, expected }: Broken, path: string): Refusal {
  return new Refusal(
    "invalid_url",
    `The URL ${JSON.stringify(input.slice(0, 200))} is refused (${rule}): ${expected}`,
    { details: [{ path, message: rule }] },
  );
}

/** A promise's value, unless time is up or it is not wanted any more. */
function within<Value>(promise: Promise<Value>, limitMs: number, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => end(() => reject(signal.reason));
    const timer = setTimeout(() => end(() => reject(new Error("it took too long"))), limitMs);
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      settle();
    };
    promise.then(
      (value) => end(() => resolve(value)),
      (error: unknown) => end(() => reject(error)),
    );
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}
