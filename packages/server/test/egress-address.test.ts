import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openToTheWorld, testGuard } from "../../../test/guard.ts";
import { kindOf, parseAddress, parseBlock } from "../src/egress/address.ts";
import { addressIsOpen, type EgressPolicy, parseBlocks, parsePorts } from "../src/egress/policy.ts";
import { Refusal } from "../src/refusal.ts";
import { closedV4, closedV6, openV6, textOfV4, textOfV6 } from "./address-tables.ts";
import { fuzzRuns, pick, type Random, randomOf } from "./random.ts";

const isOpen = (text: string, policy: Partial<EgressPolicy> = {}, protocol = "https:"): boolean => {
  const address = parseAddress(text);
  if (address === null) throw new Error(`not an address: ${text}`);
  return addressIsOpen({ ...openToTheWorld, ...policy }, protocol, address);
};

const d1 =
  "127.0.0.1 127.255.255.255 10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255 " +
  "169.254.0.0 169.254.169.254 169.254.255.255 100.64.0.0 100.127.255.255 0.0.0.0 0.255.255.255 192.0.0.0 " +
  "192.0.0.255 192.0.2.0 192.0.2.255 198.18.0.0 198.19.255.255 198.51.100.0 198.51.100.255 203.0.113.0 " +
  "203.0.113.255 192.88.99.0 192.88.99.255 224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.255";
const d2 =
  "9.255.255.255 11.0.0.0 126.255.255.255 128.0.0.0 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 " +
  "169.253.255.255 169.255.0.0 223.255.255.255 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 1.0.0.0 " +
  "191.255.255.255 192.0.1.0 192.0.1.255 192.0.3.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 " +
  "203.0.112.255 203.0.114.0 8.8.8.8 93.184.216.34";
const d3 =
  ":: ::1 ::7f00:1 ::127.0.0.1 ::ffff:7f00:1 ::ffff:8.8.8.8 64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::1 " +
  "fc00:: fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff fe80::1 febf::1 fec0::1 feff::1 ff00:: ff02::1 100::1 " +
  "2001:: 2001:0:7f00:1:: 2001:1::1 2001:1::2 2001:2::1 2001:3::1 2001:4:112::1 2001:20::1 2001:30::1 " +
  "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff 2001:db8::1 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff 2002:: 2002:7f00:1:: " +
  "2002:808:808::1 3fff::1 3fff:fff::1 5f00::1 4000::1 e000::1 fe00::1";
const openOfV6 =
  "2001:200::1 2001:4860:4860::8888 2001:db7:ffff::1 2001:db9::1 2003::1 2606:2800:220:1::1 2a00:1450::1 3ffe:ffff::1";

describe("which addresses are public", () => {
  test.each(d1.split(" "))("D1: %s is closed", (address) => {
    expect(isOpen(address)).toBe(false);
  });
  test.each(d2.split(" "))("D2: %s, a neighbour of a closed range, is open", (address) => {
    expect(isOpen(address)).toBe(true);
  });
  test.each(d3.split(" "))("D3: %s is closed", (address) => {
    expect(isOpen(address)).toBe(false);
  });
  test.each(openOfV6.split(" "))("D3: %s is open", (address) => {
    expect(isOpen(address)).toBe(true);
  });

  test("D3: all of ::/8 is closed, with IPv4 inside or not", () => {
    const group = fc.integer({ min: 0, max: 0xffff }).map((n) => n.toString(16));
    const low = fc.tuple(fc.integer({ min: 0, max: 0xff }), fc.array(group, { minLength: 7, maxLength: 7 }));
    fc.assert(
      fc.property(low, ([first, rest]) => !isOpen([first.toString(16), ...rest].join(":"))),
      { numRuns: 10_000, seed: 7 },
    );
  });

  test("a zone is left out, and what is no address is none", () => {
    expect(kindOf(parseAddress("fe80::1%eth0") ?? expect.fail())).toBe("not_public");
    for (const text of ["", "127.1", "0177.0.0.1", "2130706433", "localhost", "1.2.3.4.5", "::g", "[::1]"]) {
      expect(parseAddress(text), text).toBeNull();
    }
  });
});

describe("what the operator opens and closes", () => {
  const policy = (allow: string, deny = "", more: Partial<EgressPolicy> = {}): Partial<EgressPolicy> => ({
    allow: allow === "" ? [] : (parseBlocks(allow) ?? expect.fail()),
    deny: deny === "" ? [] : (parseBlocks(deny) ?? expect.fail()),
    ...more,
  });

  test("SENDOFF_EGRESS_ALLOW opens its networks and no others; SENDOFF_EGRESS_DENY wins", () => {
    const opened = policy("10.0.0.0/8, fd00::/8,127.0.0.1", "10.9.0.0/16,93.184.216.0/24,fd00::dead");
    for (const address of ["10.0.0.1", "10.255.0.1", "fd12::1", "127.0.0.1", "8.8.8.8"])
      expect(isOpen(address, opened), address).toBe(true);
    for (const address of ["10.9.0.1", "93.184.216.34", "fd00::dead", "127.0.0.2", "192.168.0.1", "fc00::1"])
      expect(isOpen(address, opened), address).toBe(false);
  });

  test("a denied IPv4 address stays denied inside an IPv6 address that is allowed", () => {
    const opened = policy("::/0", "10.0.0.7,93.184.216.34");
    const inside = ["::ffff:10.0.0.7", "::10.0.0.7", "64:ff9b::a00:7", "2002:a00:7::1", "::ffff:5db8:d822"];
    for (const address of inside) expect(isOpen(address, opened), address).toBe(false);
    expect(isOpen("::ffff:10.0.0.8", opened)).toBe(true);
  });

  test("D3: 64:ff9b::/96 takes the verdict of the IPv4 address inside, with SENDOFF_EGRESS_NAT64=on alone", () => {
    const on = { nat64: true };
    expect(isOpen("64:ff9b::808:808")).toBe(false);
    expect(isOpen("64:ff9b::808:808", on)).toBe(true);
    expect(isOpen("64:ff9b::7f00:1", { ...on, allowHttp: "all" }, "http:")).toBe(false);
    expect(isOpen("64:ff9b::a00:7", on)).toBe(false);
    expect(isOpen("64:ff9b::a00:7", policy("10.0.0.0/8", "", on))).toBe(true);
    expect(isOpen("64:ff9b::808:808", policy("", "8.8.8.8", on))).toBe(false);
    expect(isOpen("64:ff9b:1::808:808", on)).toBe(false);
  });

  test("SENDOFF_ALLOW_HTTP opens loopback to plain http alone, and nothing else", () => {
    for (const address of ["127.0.0.1", "127.9.9.9", "::1"]) {
      expect(isOpen(address, { allowHttp: "loopback" }, "http:"), address).toBe(true);
      expect(isOpen(address, { allowHttp: "loopback" }, "https:"), address).toBe(false);
      expect(isOpen(address, { allowHttp: "none" }, "http:"), address).toBe(false);
      const denied = policy("", address, { allowHttp: "loopback" });
      expect(isOpen(address, denied, "http:"), address).toBe(false);
    }
    for (const address of ["0.0.0.0", "10.0.0.1", "::", "::ffff:127.0.0.1", "169.254.169.254"])
      expect(isOpen(address, { allowHttp: "all" }, "http:"), address).toBe(false);
  });

  test("networks and ports that cannot be read are found", () => {
    for (const text of ["10.0.0.0/33", "10.0.0.0/", "10/8", "::/129", "1.2.3.4/8/9", "x", "", "fe80::1%a/64"])
      expect(parseBlock(text), text).toBeNull();
    expect(parseBlocks("10.0.0.0/8,,1.2.3.4")).toBeNull();
    for (const text of ["", "0", "65536", "9-8", "a", "1,", "1-2-3", "-1"])
      expect(parsePorts(text), text).toBeNull();
    expect(parsePorts("443, 1-2")).toEqual([
      { from: 443, to: 443 },
      { from: 1, to: 2 },
    ]);
  });
});

const seed = 20_261_121;

describe("random input against a classifier of another make", () => {
  test(`${fuzzRuns} addresses: no difference`, () => {
    const random = randomOf(seed);
    const different: string[] = [];
    let open = 0;
    for (let run = 0; run < fuzzRuns; run++) {
      const v4 = random(2) === 0;
      const value = v4 ? someV4(random) : someV6(random);
      const text = v4 ? textOfV4(value) : textOfV6(value, random);
      const expected = v4
        ? !closedV4.some(([from, to]) => from <= value && value <= to)
        : openV6.some(([from, to]) => from <= value && value <= to) &&
          !closedV6.some(([from, to]) => from <= value && value <= to);
      if (expected) open += 1;
      if (isOpen(text) !== expected) different.push(text);
    }
    console.log(`${fuzzRuns} addresses, seed ${seed}: ${open} open, ${different.length} differences`);
    expect(different.slice(0, 10)).toEqual([]);
    expect(open).toBeGreaterThan(fuzzRuns / 10);
    expect(open).toBeLessThan((fuzzRuns * 9) / 10);
  });

  test(`${fuzzRuns} URLs: no difference`, () => {
    const random = randomOf(seed + 1);
    const guard = testGuard();
    const different: string[] = [];
    let taken = 0;
    for (let run = 0; run < fuzzRuns; run++) {
      const { url, good } = someUrl(random);
      let isTaken = true;
      try {
        guard.checkText(url, "url");
      } catch (error) {
        // Any other error is a mistake of the guard.
        if (!(error instanceof Refusal)) throw error;
        isTaken = false;
      }
      if (isTaken) taken += 1;
      if (isTaken !== good) different.push(url);
    }
    console.log(`${fuzzRuns} URLs, seed ${seed + 1}: ${taken} taken, ${different.length} differences`);
    expect(different.slice(0, 10)).toEqual([]);
    expect(taken).toBeGreaterThan(fuzzRuns / 20);
  });
});

const bits = (random: Random, count: number): bigint => {
  let value = 0n;
  for (let done = 0; done < count; done += 16) value = (value << 16n) | BigInt(random(0x1_0000));
  return value;
};

/** Half of them at the ends of ranges, where mistakes are. */
function near(random: Random, [from, to]: readonly [bigint, bigint], width: number): bigint {
  const most = (1n << BigInt(width)) - 1n;
  const at = [
    from - 1n,
    from,
    from + 1n,
    to - 1n,
    to,
    to + 1n,
    from + (bits(random, width) % (to - from + 1n)),
  ];
  const value = at[random(at.length)] ?? from;
  return value < 0n ? 0n : value > most ? most : value;
}

const someV4 = (random: Random): bigint =>
  random(2) === 0 ? near(random, pick(random, closedV4), 32) : bits(random, 32);

function someV6(random: Random): bigint {
  if (random(3) === 0) return near(random, pick(random, [...closedV6, ...openV6]), 128);
  const inside = (2n << 124n) | (bits(random, 128) >> 3n);
  return random(3) === 0 ? bits(random, 128) : inside;
}

/** A URL with whatever may be wrong with it; `good` is known from how it was made, not from reading it. */
function someUrl(random: Random): { url: string; good: boolean } {
  const part = (good: () => string, bad: readonly (() => string)[]): [string, boolean] =>
    random(6) > 0 ? [good(), true] : [pick(random, bad)(), false];
  const label = (): string =>
    Array.from({ length: 1 + random(12) }, () => pick(random, [..."abcxyz0189"])).join("");
  const v4 = someV4(random);
  const [a, b, c, d] = [24n, 16n, 8n, 0n].map((shift) => Number((v4 >> shift) & 255n));
  const name = (): string => `${label()}.${label()}.${pick(random, ["com", "org", "io", "dev"])}`;
  const [scheme, schemeGood] = part(
    () => "https://",
    [
      ...[
        "http://",
        "HTTPS://",
        "https:",
        "https:/",
        "https:///",
        "ftp://",
        "//",
        "",
        "ws://",
        " https://",
      ].map((text) => () => text),
    ],
  );
  const [user, userGood] = part(() => "", [() => "u@", () => "u:p@", () => ":p@", () => `${name()}@`]);
  const [host, hostGood] = part(name, [
    () => textOfV4(v4),
    () => v4.toString(),
    () => `0x${v4.toString(16)}`,
    () => `0${a?.toString(8)}.0${b?.toString(8)}.0x${c?.toString(16)}.${d}`,
    () => `${a}.${Number(v4 & 0xff_ffffn)}`,
    () => `${a}.${b}.${c}.${d}.`,
    () => `[${textOfV6(someV6(random), random)}]`,
    () => `[::ffff:${a}.${b}.${c}.${d}]`,
    () => label(),
    () => `${name()}.`,
    () => `${label()}.${pick(random, ["localhost", "local", "internal", "test", "example", "onion", "svc"])}`,
    () => `${label()}.${random(1_000)}`,
    () => `${"a".repeat(64)}.com`,
    () => `${label()}..com`,
    () => `x${label().toUpperCase()}Q.com`,
    () => `${label()}\u00ad.com`,
    () => `%61${label()}.com`,
    () => `${label()}\t.com`,
    () => "",
  ]);
  const [port, portGood] = part(
    () => pick(random, ["", "", ":8443"]),
    [
      () => `:${1 + random(442)}`,
      () => ":443",
      () => ":00443",
      () => ":0",
      () => `:${65_536 + random(100_000)}`,
      () => ":x",
      () => `:${9_000 + random(1_000)}`,
    ],
  );
  const [path, pathGood] = part(
    () => pick(random, ["", "/", `/${label()}`, `/${label()}?a=${label()}&b=%20`]),
    [
      () => "/#",
      () => `/#${label()}`,
      () => "/ ",
      () => "/a b",
      () => "\\",
      () => "/\0",
      () => `/${"x".repeat(1_500)}`,
      () => "/é",
      () => "/a/../b",
      () => "/./",
    ],
  );
  return {
    url: scheme + user + host + port + path,
    good: schemeGood && userGood && hostGood && portGood && pathGood,
  };
}
