import { createHash } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { testGuard } from "../../../test/guard.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { Refusal } from "../src/refusal.ts";
import { type ApiAnswer, expectRefused } from "./refused.ts";

let server: TestServer;
/** Names that were looked up since the test began. */
let lookups: string[] = [];
/** What a name is answered with; names that are not here have no address. */
const names: Record<string, readonly string[]> = {
  "ok.example.com": ["93.184.216.34", "2606:2800:220:1::1"],
  "private.example.com": ["93.184.216.34", "10.0.0.7"],
  "denied.example.com": ["93.184.216.99"],
};
const standing = { url: "https://hooks.example.com/in" };
const agent = (): string => `/v1/projects/${server.projectId}/agent`;
const patch = (url: unknown): Promise<ApiAnswer> =>
  server.api("PATCH", agent(), { name: "After", postSessionWebhook: { url } });

let before: unknown;
beforeAll(async () => {
  const resolver = {
    async resolve(name: string) {
      lookups.push(name);
      if (name === "broken.example.com") throw new Error("no server answers");
      return names[name] ?? [];
    },
  };
  server = await startTestServer({ SENDOFF_EGRESS_DENY: "93.184.216.99" }, null, undefined, resolver);
  expect((await server.api("PATCH", agent(), { name: "Before", postSessionWebhook: standing })).status).toBe(
    200,
  );
  before = (await server.api("GET", agent())).body;
});
afterAll(() => server.stop());

/** Sees that a URL is refused by a rule, before anything was looked up or stored. */
async function expectRule(url: string, rule: string): Promise<void> {
  lookups = [];
  const answer = await patch(url);
  expectRefused(answer, "invalid_url", `(${rule})`, JSON.stringify(url.slice(0, 200)));
  expect(answer.body.error.details).toEqual([{ path: "postSessionWebhook.url", message: rule }]);
  expect(lookups).toEqual([]);
}

describe("a URL that is refused", () => {
  afterEach(async () => {
    expect((await server.api("GET", agent())).body).toEqual(before);
  });

  const long = (count: number): string => "x".repeat(count);
  test.each<[row: string, rule: string, url: string]>([
    ["U1", "scheme_not_https", "http://ok.example.com/"],
    ["U1", "scheme_not_https", "HTTP://ok.example.com/"],
    ["U1", "scheme_not_https", "ftp://ok.example.com/"],
    ["U1", "scheme_not_https", "file:///etc/passwd"],
    ["U1", "scheme_not_https", "javascript:alert(1)"],
    ["U1", "scheme_not_https", "data:text/plain,x"],
    ["U1", "scheme_not_https", "ws://127.0.0.1/"],
    ["U1", "scheme_not_https", "http://0.0.0.0/"],
    ["U1", "scheme_not_https", "http://10.0.0.1/"],
    ["U1", "scheme_not_https", "http://169.254.169.254/latest/meta-data/"],
    ["U1", "scheme_not_https", "http://localhost.example.com/"],
    ["U1", "scheme_not_https", "http://127.0.0.1.example.com/"],
    ["U1", "scheme_not_https", "http://foo.localhost/"],
    ["U1", "scheme_not_https", "http://localhost./"],
    ["U1", "scheme_not_https", "http://[::ffff:127.0.0.1]/"],
    ["U1", "scheme_not_https", "http://[::]/"],
    ["U9", "ip_literal", "https://127.0.0.1/"],
    ["U9", "ip_literal", "https://93.184.216.34/"],
    ["U9", "forbidden_address", "https://93.184.216.99/"],
    ["U10", "ip_literal", "https://127.1/"],
    ["U10", "ip_literal", "https://127.0.1/"],
    ["U13", "ip_literal", "https://017700000001/"],
    ["U13", "ip_literal", "https://0177.0.0.1/"],
    ["U13", "ip_literal", "https://00000000177.0.0.1/"],
    ["U13", "ip_literal", "https://127.000.000.001/"],
    ["U13", "ip_literal", "https://0x7f.0x0.0x0.0x1/"],
    ["U14", "ip_literal", "https://0/"],
    ["U14", "ip_literal", "https://0.0.0.0/"],
    ["U15", "ip_literal", "https://4294967295/"],
    ["U16", "ip_literal", "https://127.0.0.1./"],
    ["U18", "ip_literal", "https://%31%32%37.0.0.1/"],
    ["U18", "reserved_name", "https://l%6fcalhost/"],
    ["U20", "reserved_name", "https://localhost/"],
    ["U20", "reserved_name", "https://LOCALHOST/"],
    ["U20", "reserved_name", "https://localhost./"],
    ["U20", "reserved_name", "https://foo.localhost/"],
    ["U20", "reserved_name", "https://foo.localhost./"],
    ["U21", "ip_literal", "https://[::1]/"],
    ["U21", "ip_literal", "https://[::]/"],
    ["U22", "ip_literal", "https://[::ffff:127.0.0.1]/"],
    ["U22", "ip_literal", "https://[::ffff:7f00:1]/"],
    ["U22", "ip_literal", "https://[0:0:0:0:0:ffff:7f00:1]/"],
    ["U23", "ip_literal", "https://[::127.0.0.1]/"],
    ["U26", "ip_literal", "https://[2002:7f00:1::]/"],
    ["U26", "ip_literal", "https://[2001:0:7f00:1::]/"],
    ["U30", "credentials", "https://ok.example.com@127.0.0.1/"],
    ["U30", "credentials", "https://user@ok.example.com/"],
    ["U30", "credentials", "https://:password@ok.example.com/"],
    ["U32", "credentials", "https://[::1]:443@ok.example.com/"],
    ["U33", "not_canonical", "https:127.0.0.1"],
    ["U33", "not_canonical", "https:/127.0.0.1"],
    ["U33", "not_canonical", "https:///127.0.0.1/"],
    ["U33", "not_canonical", "https:////ok.example.com/"],
    ["U33", "not_canonical", "HTTPS://ok.example.com/"],
    ["U33", "not_canonical", "https://OK.example.com/"],
    ["U33", "not_canonical", "https://ok.example.com:443/"],
    ["U33", "not_canonical", "https://ok.example.com/a/../b"],
    ["U33", "not_canonical", 'https://ok.example.com/"'],
    ["U33", "not_canonical", "https://ok.example.com?x=1"],
    ["U33", "backslash", "https:\\\\ok.example.com\\"],
    ["U33", "backslash", "https://ok.example.com\\@127.0.0.1/"],
    ["U34", "control_character", "https://exam\tple.com/"],
    ["U34", "control_character", "https://exam\nple.com/"],
    ["U34", "control_character", "https://ok.example.com/\r\nX: y"],
    ["U35", "control_character", " https://ok.example.com/"],
    ["U35", "control_character", "https://ok.example.com/ "],
    ["U35", "control_character", "https://ok.example.com/\0"],
    ["U35", "control_character", "https://ok.example.com/\x7f"],
    ["U36", "non_ascii", "https://exa\u00admple.com/"],
    ["U36", "non_ascii", "https://exa\u200bmple.com/"],
    ["U36", "non_ascii", "https://münchen.example.com/"],
    ["U36", "non_ascii", "https://ok\u3002example.com/"],
    ["U37", "port_not_allowed", "https://ok.example.com:0/"],
    ["U37", "port_not_allowed", "https://ok.example.com:22/"],
    ["U37", "port_not_allowed", "https://ok.example.com:25/"],
    ["U37", "port_not_allowed", "https://ok.example.com:80/"],
    ["U37", "port_not_allowed", "https://ok.example.com:6379/"],
    ["U37", "port_not_allowed", "https://ok.example.com:5432/"],
    ["U37", "port_not_allowed", "https://ok.example.com:65536/"],
    ["U37", "not_canonical", "https://ok.example.com:00443/"],
    ["U39", "host_name", `https://${"a".repeat(64)}.example.com/`],
    ["U39", "host_name", `https://${`${"a".repeat(62)}.`.repeat(4)}example.com/`],
    ["U39", "host_name", "https://intranet/"],
    ["U39", "host_name", "https://ok.example.com./"],
    ["U39", "host_name", "https://ok..example.com/"],
    ["U39", "host_name", "https://_dmarc.example.com/"],
    ["U39", "host_name", "https://ok.exa!mple.com/"],
    ["U40", "reserved_name", "https://metadata.google.internal/"],
    ["U40", "reserved_name", "https://printer.local/"],
    ["U40", "reserved_name", "https://api.default.svc.cluster.local/"],
    ["U40", "reserved_name", "https://kubernetes.default.svc/"],
    ["U40", "reserved_name", "https://router.home.arpa/"],
    ["U40", "reserved_name", "https://hidden.onion/"],
    ["U40", "reserved_name", "https://a.invalid/"],
    ["U40", "reserved_name", "https://a.test/"],
    ["U40", "reserved_name", "https://a.example/"],
    ["U40", "reserved_name", "https://1.0.0.127.in-addr.arpa/"],
    ["U40", "reserved_name", "https://1.ip6.arpa/"],
    ["U44", "too_long", `https://ok.example.com/${long(1_500)}`],
    ["U44", "too_long", `https://ok.example.com/?${long(1_500)}`],
    ["U45", "fragment", "https://ok.example.com/#x"],
    ["U45", "fragment", "https://ok.example.com/#"],
    ["U46", "not_a_url", "//ok.example.com"],
    ["U46", "not_a_url", "ok.example.com"],
    ["U46", "not_a_url", "https://"],
    ["U46", "not_a_url", "https://[::1/"],
    ["U46", "not_a_url", "https://1.2.3.4.5/"],
  ])("%s: by %s, with nothing looked up or stored: %j", async (_row, rule, url) => {
    await expectRule(url, rule);
  });

  test("U44, U46: what is no text of 1 to 2,048 characters is refused as a field", async () => {
    const wrong = [null, 7, [], {}, "", `https://ok.example.com/${long(3_000)}`, long(200_000)];
    for (const url of wrong) {
      expectRefused(await patch(url), "invalid_body", "postSessionWebhook.url");
    }
    expectRefused(await patch(undefined), "invalid_body", "postSessionWebhook.url: missing");
    expect((await patch(long(1_100_000))).status).toBe(413);
  });

  test("a name with one forbidden address is refused, and the answer does not tell which", async () => {
    for (const name of ["private.example.com", "denied.example.com"]) {
      lookups = [];
      const answer = await patch(`https://${name}/`);
      expectRefused(answer, "invalid_url", "(forbidden_address)");
      expect(answer.text).not.toMatch(/10\.0\.0\.7|216\.99/);
      expect(lookups).toEqual([name]);
    }
  });
});

describe("a URL that is taken", () => {
  const stored = async (): Promise<string> =>
    (await server.api("GET", agent())).body.data.postSessionWebhook.url;

  test.each<[row: string, url: string]>([
    ["U37", "https://ok.example.com:8443/x"],
    ["U39", `https://${"a".repeat(63)}.example.com/`],
    ["U39", "https://a_b.example.com/"],
    ["U42", "https://xn--80ak6aa92e.com/"],
    ["U44", `https://ok.example.com/${"x".repeat(1_499)}`],
    ["canonical", "https://ok.example.com/A?b=%20&c={d}"],
  ])("%s: is kept as it came: %s", async (_row, url) => {
    expect((await patch(url)).status).toBe(200);
    expect(await stored()).toBe(url);
  });

  test("gets the / that it lacks at its end, and no other change", async () => {
    expect((await patch("https://ok.example.com")).status).toBe(200);
    expect(await stored()).toBe("https://ok.example.com/");
  });

  test("is looked up once; one that nobody can resolve at the moment is taken, too", async () => {
    for (const name of ["ok.example.com", "nowhere.example.com", "broken.example.com"]) {
      lookups = [];
      expect((await patch(`https://${name}/`)).status).toBe(200);
      expect(lookups).toEqual([name]);
    }
  });

  test("may be the inspector's own, wherever this installation is reached, and is stored without what reads it", async () => {
    const secret = new URL(server.inspectorUrl).pathname.slice("/inspect/".length);
    expect((await patch(server.inspectorUrl)).status).toBe(200);
    const posted = createHash("sha256").update(secret).digest("base64url");
    expect(await stored()).toBe(`${server.apiUrl}/inspect/${posted}`);
    // Written back as it is answered it stays the same.
    expect((await patch(await stored())).status).toBe(200);
    expect(await stored()).toBe(`${server.apiUrl}/inspect/${posted}`);
    expectRefused(await patch(`${server.apiUrl}/v1/projects`), "invalid_url", "(self_target)");
  });
});

/** The rule that refuses a URL at save, or its canonical form. */
async function verdict(guard: ReturnType<typeof testGuard>, url: string): Promise<string> {
  return guard.checkForSaving(url, "url").catch((error: unknown) => {
    if (!(error instanceof Refusal)) throw error;
    return String(error.details[0]?.message);
  });
}

describe("what the operator opens", () => {
  test("plain http goes as far as SENDOFF_ALLOW_HTTP says", async () => {
    const none = testGuard();
    const loopback = testGuard({ policy: { allowHttp: "loopback" } });
    const all = testGuard({ policy: { allowHttp: "all" } });
    for (const url of [
      "http://127.0.0.1:1/",
      "http://127.9.9.9/",
      "http://localhost:6379/",
      "http://[::1]/",
    ]) {
      expect(await verdict(none, url)).toBe("scheme_not_https");
      expect(await verdict(loopback, url)).toBe(url);
      expect(await verdict(all, url)).toBe(url);
    }
    expect(await verdict(loopback, "http://127.1/")).toBe("not_canonical");
    expect(await verdict(loopback, "https://127.0.0.1/")).toBe("ip_literal");
    expect(await verdict(loopback, "https://localhost/")).toBe("reserved_name");
    expect(await verdict(loopback, "http://ok.example.com/")).toBe("scheme_not_https");
    expect(await verdict(all, "http://ok.example.com/")).toBe("http://ok.example.com/");
    expect(await verdict(all, "http://ok.example.com:8080/")).toBe("http://ok.example.com:8080/");
    expect(await verdict(all, "http://ok.example.com:6379/")).toBe("port_not_allowed");
    expect(await verdict(all, "http://10.0.0.1/")).toBe("ip_literal");
    expect(await verdict(all, "ftp://127.0.0.1/")).toBe("scheme_not_https");
  });

  test("SENDOFF_EGRESS_ALLOW opens literals and the names of private networks, and SENDOFF_EGRESS_DENY closes them", async () => {
    const names: Record<string, string[]> = {
      "hub.internal": ["10.1.2.3"],
      "metadata.google.internal": ["169.254.169.254"],
    };
    const resolver = { resolve: async (name: string) => names[name] ?? [] };
    const guard = testGuard({ resolver, allow: "10.0.0.0/8,fd00::/8", deny: "10.9.0.0/16" });
    expect(await verdict(guard, "https://10.1.2.3/")).toBe("https://10.1.2.3/");
    expect(await verdict(guard, "https://[fd00::1]/")).toBe("https://[fd00::1]/");
    expect(await verdict(guard, "https://192.168.0.1/")).toBe("ip_literal");
    expect(await verdict(guard, "https://10.9.0.1/")).toBe("forbidden_address");
    expect(await verdict(guard, "http://10.1.2.3/")).toBe("scheme_not_https");
    expect(await verdict(guard, "https://hub.internal/")).toBe("https://hub.internal/");
    expect(await verdict(guard, "https://metadata.google.internal/")).toBe("forbidden_address");
    expect(await verdict(guard, "https://a.invalid/")).toBe("reserved_name");
    expect(await verdict(guard, "https://localhost/")).toBe("reserved_name");
  });

  test("SENDOFF_EGRESS_PORTS adds ports", async () => {
    const guard = testGuard({ ports: "9000-9002,7000" });
    for (const port of [7_000, 8_443, 9_000, 9_002]) {
      expect(await verdict(guard, `https://ok.example.com:${port}/`)).toBe(`https://ok.example.com:${port}/`);
    }
    for (const port of [6_999, 7_001, 8_999, 9_003])
      expect(await verdict(guard, `https://ok.example.com:${port}/`)).toBe("port_not_allowed");
  });

  test("U43: an API on this machine is refused under each of its names, but for the inspector", async () => {
    const guard = testGuard({
      policy: { allowHttp: "loopback" },
      ownUrls: ["http://127.0.0.1:4600"],
      own: { listenPort: 4_600 },
    });
    for (const host of ["127.0.0.1", "localhost", "[::1]"]) {
      expect(await verdict(guard, `http://${host}:4600/v1/projects`)).toBe("self_target");
      expect(await verdict(guard, `http://${host}:4600/inspect/abc`)).toBe(`http://${host}:4600/inspect/abc`);
      expect(await verdict(guard, `http://${host}:4601/v1/projects`)).toBe(`http://${host}:4601/v1/projects`);
    }
    expect(await verdict(guard, "http://127.0.0.2:4600/v1/projects")).toBe("self_connection");
  });

  test("U43: an API at a public name is refused at whatever port, but for the inspector", async () => {
    const guard = testGuard({ ownUrls: ["https://sendoff.example.com"], ports: "9000" });
    const at = (rest: string): Promise<string> => verdict(guard, `https://sendoff.example.com${rest}`);
    expect(await at("/v1/projects")).toBe("self_target");
    expect(await at(":9000/")).toBe("self_target");
    expect(await at("/inspect/token?x=1")).toBe("self_target");
    expect(await at("/inspect/token/x")).toBe("self_target");
    expect(await at("/inspect/to_k-en")).toBe("https://sendoff.example.com/inspect/to_k-en");
    expect(await verdict(guard, "https://elsewhere.example.com/inspect/x")).toMatch(/^https/);
  });
});
