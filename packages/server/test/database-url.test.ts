import { describe, expect, test } from "vitest";
import { readConfig } from "../src/config.ts";
import { hostName, parseDatabaseUrl } from "../src/database/database-url.ts";

describe("a DATABASE_URL", () => {
  test.each<[text: string, hosts: string]>([
    ["postgres://u:p@db/x", "db:5432"],
    ["postgresql://db.internal:6000", "db.internal:6000"],
    ["postgres://h1:5433,h2/x", "h1:5433 h2:5432"],
    ["postgres://u:p@h1,h2:5433,h3/x?target_session_attrs=primary", "h1:5432 h2:5433 h3:5432"],
    ["postgres://[::1]:5433,[fe80::2]/x", "[::1]:5433 [fe80::2]:5432"],
    ["postgres://u@localhost/x?host=%2Frun%2Fpg&port=5433", "/run/pg/.s.PGSQL.5433"],
    ["postgres://%2Frun%2Fpg/x", "/run/pg/.s.PGSQL.5432"],
    ["postgres:///x?host=h1,h2&port=5433", "h1:5433 h2:5433"],
    ["postgres:///x?host=h1,h2&port=5433,5434", "h1:5433 h2:5434"],
  ])("%s leads to %s", (text, hosts) => {
    expect(parseDatabaseUrl(text).hosts.map(hostName).join(" ")).toBe(hosts);
  });

  test("has a user, a password and a name with every character, each as its code", () => {
    const [user, password, database] = ["ü:/", "a@b/c?d#e%f g", "x y/z"].map(encodeURIComponent);
    expect(parseDatabaseUrl(`postgres://${user}:${password}@h/${database}`)).toMatchObject({
      user: "ü:/",
      password: "a@b/c?d#e%f g",
      database: "x y/z",
    });
  });

  test("asks for a server that takes writes unless it says otherwise", () => {
    expect(parseDatabaseUrl("postgres://h/x").target).toBe("read-write");
    expect(parseDatabaseUrl("postgres://h/x?target_session_attrs=any").target).toBe("any");
  });

  const password = "pa55w0rd";
  test.each<[text: string, sentence: RegExp]>([
    [`mysql://u:${password}@h/x`, /expected an address such as postgres:\/\//],
    [`postgres://u:${password}@/x`, /its host is empty/],
    [`postgres://u:${password}@h1,,h3/x`, /host 2 of 3 is empty/],
    [`postgres://u:${password}@h1,h2,/x`, /host 3 of 3 is empty/],
    [`postgres://u:${password}@h:0/x`, /the port of its host is no whole number from 1 to 65535/],
    [`postgres://u:${password}@h1,h2:65536/x`, /the port of host 2 of 2 is no whole number/],
    [`postgres://u:${password}@h1,h2:5x/x`, /the port of host 2 of 2 is no whole number/],
    [
      `postgres://u:${password}@h1,h2/x?port=1,2,3`,
      /3 ports and 2 hosts; expected one port for all, or one for each/,
    ],
    [`postgres://u:${password}@h/x?port=1,2`, /2 ports and 1 host;/],
    [`postgres://u:${password}@${Array(17).fill("h").join(",")}/x`, /17 hosts; expected 16 at most/],
    [
      `postgres://u:${password}@h/x?target_session_attrs=standby`,
      /"standby"; expected any, read-write, primary/,
    ],
    [`postgres://u:${password}@h/x?target_session_attrs=prefer-standby`, /expected any, read-write, primary/],
    [`postgres://u:${password}@h/x?sslmode=prefer`, /sslmode is "prefer"; expected disable, no-verify/],
    [`postgres://u:${password}@h/x?sslmode=verify-ca`, /verify-ca without sslrootcert/],
    [`postgres://u:${password}@h/x?sslmode=disable&sslrootcert=/a`, /sslmode is disable, and files/],
    [`postgres://u:${password}@h/x?sslcert=/a`, /sslcert and sslkey belong together/],
    [`postgres://u:${password}@h/x?pool=7`, /unknown parameter pool; expected those of host, port/],
    [`postgres://u:${password}@h/x?sslmode=require&sslmode=disable`, /the parameter sslmode twice/],
    // A password that was not written in codes: what stands after it would be taken for a port, a name or a parameter.
    [`postgres://u:${password}/2@h/x`, /write @ : \/ \? # % and spaces .* as %40/],
    [`postgres://u:12?${password}@h/x`, /write @ :/],
    [`postgres://u:12#${password}@h/x`, /write @ :/],
    [`postgres://u:${password}%zz@h/x`, /its password has a % that begins no code/],
  ])("%s is refused with what is wrong, without the password", (text, sentence) => {
    const error = (() => {
      try {
        readConfig({ DATABASE_URL: text });
        return null;
      } catch (reason) {
        return reason as Error;
      }
    })();
    expect(error?.message).toMatch(/^Some settings are wrong:\n {2}- DATABASE_URL is \(not shown\); /);
    expect(error?.message).toMatch(sentence);
    expect(error?.stack).not.toContain(password);
  });
});
