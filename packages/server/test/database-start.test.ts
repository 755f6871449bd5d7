// What stands in the way of a start is told in a sentence: what was found, and what to do.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OwnPostgres } from "../../../test/own-postgres.ts";
import { newFolder } from "../../../test/process.ts";
import { createPool } from "../src/database/pool.ts";
import { createLog } from "../src/log.ts";
import { startSendoff } from "../src/main.ts";
import { StartError } from "../src/start-error.ts";
import { type Issued, issue } from "./certificates.ts";

let folder: string;
let authority: Issued;
let postgres: OwnPostgres;
let withoutTls: OwnPostgres;
/** Paths of what clients have. */
const files = new Map<string, string>();

const localhost = [
  { type: "ip", value: "127.0.0.1" },
  { type: "dns", value: "localhost" },
] as const;

beforeAll(async () => {
  folder = await newFolder();
  const keep = async (name: string, text: string): Promise<void> => {
    files.set(name, join(folder, name));
    await writeFile(join(folder, name), text, { mode: 0o600 });
  };
  authority = await issue("Authority of the test", { ca: true });
  const stranger = await issue("Authority of others", { ca: true });
  for (const [name, issued] of [
    ["client", await issue("guarded", { by: authority })],
    ["foreign", await issue("guarded", { by: stranger })],
    ["other", await issue("somebody", { by: authority })],
  ] as const) {
    await keep(`${name}.pem`, issued.cert);
    await keep(`${name}.key`, issued.key);
  }
  await keep("root.pem", authority.cert);
  await keep("stranger.pem", stranger.cert);
  await keep("empty.pem", "nothing\n");

  postgres = await OwnPostgres.make({ ssl: "on", ssl_ca_file: "root.crt" });
  await postgres.write("root.crt", authority.cert);
  await postgres.write(
    "pg_hba.conf",
    `host all sendoff,plain,limited,pooled 127.0.0.1/32 trust
     hostssl all encrypted 127.0.0.1/32 trust
     hostssl all guarded 127.0.0.1/32 cert
     host all secret 127.0.0.1/32 scram-sha-256\n`,
  );
  await present(await issue("127.0.0.1", { by: authority, names: localhost }));
  for (const role of [
    "plain",
    "encrypted",
    "guarded",
    "secret PASSWORD 'right'",
    "limited CONNECTION LIMIT 0",
  ]) {
    await postgres.sql(`CREATE ROLE ${role.split(" ")[0]} LOGIN ${role.split(" ").slice(1).join(" ")}`);
  }
  await postgres.sql("CREATE DATABASE read_only");
  await postgres.sql("ALTER DATABASE read_only SET default_transaction_read_only = on");
  withoutTls = await OwnPostgres.make();
  await withoutTls.start();
});
afterAll(async () => {
  await postgres?.remove();
  await withoutTls?.remove();
});

/** Starts the server with another certificate. */
async function present(issued: Issued): Promise<void> {
  await postgres.stop();
  await postgres.write("server.crt", issued.cert);
  await postgres.write("server.key", issued.key);
  await postgres.start();
}

/** Files of the URL's parameters by their names, each with its path. */
const named = (parameters: string): string =>
  parameters.replace(/\{([^}]+)\}/g, (_, name: string) => encodeURIComponent(files.get(name) ?? ""));

async function failedStart(databaseUrl: string): Promise<Error> {
  const env = { DATABASE_URL: databaseUrl, SENDOFF_DATA: folder, SENDOFF_LOG: "silent", PORT: "0" };
  const failed = await startSendoff({ role: "api", env }).then(
    async (running) => {
      await running.stop();
      return new Error("it has started");
    },
    (reason: unknown) => reason as Error,
  );
  expect(failed.message).not.toBe("it has started");
  expect(failed).toBeInstanceOf(StartError);
  return failed;
}

describe("a start is refused in a sentence", () => {
  // At a time: some wait for 10 s.
  test.concurrent.each<[what: string, url: () => string, sentence: RegExp]>([
    [
      "by a wrong password, which is not told",
      () => postgres.url("", "secret:wr0ng"),
      /could not be reached: 127\.0\.0\.1:\d+: password authentication failed for user "secret"\. Check DATABASE_URL/,
    ],
    [
      "by a missing password",
      () => postgres.url("", "secret"),
      /it asks for a password, and DATABASE_URL has none/,
    ],
    [
      "by an unknown user",
      () => postgres.url("", "nobody"),
      /no pg_hba\.conf entry for host "127\.0\.0\.1", user "nobody"/,
    ],
    [
      "by an unknown database",
      () => postgres.url("", "sendoff", "nowhere"),
      /database "nowhere" does not exist: create the database, or name another one/,
    ],
    [
      "by an account that may not create tables",
      () => postgres.url("", "plain"),
      /may not do what Sendoff needs: permission denied for schema public\. Make it the owner of the database, or GRANT CREATE/,
    ],
    [
      "by a server that is read-only, after 10 s in which it may turn",
      () => postgres.url("", "sendoff", "read_only"),
      /it is read-only \(default_transaction_read_only is on\)/,
    ],
    [
      "by a role without a connection left, after 10 s",
      () => postgres.url("", "limited"),
      /too many connections for role "limited": raise max_connections, or the limit of the role/,
    ],
    [
      "by a name without an address, after 10 s",
      () => "postgres://u@nowhere.invalid/x",
      /nowhere\.invalid:5432: .*(this name has no address|the name servers do not answer)/,
    ],
    [
      "by a port on which nobody listens, after 10 s",
      () => "postgres://u@127.0.0.1:1/x",
      /127\.0\.0\.1:1: .*ECONNREFUSED.*nothing listens there/,
    ],
    [
      "by a socket that is not there, after 10 s",
      () => "postgres://u@%2Fnowhere/x",
      /\/nowhere\/\.s\.PGSQL\.5432: .*there is no such socket/,
    ],
    [
      "by an account that needs TLS",
      () => postgres.url("", "encrypted"),
      /no pg_hba\.conf entry .*no encryption: set sslmode=require/,
    ],
    [
      "by a server without TLS",
      () => withoutTls.url("?sslmode=require"),
      /it has no TLS; set ssl = on in its postgresql\.conf, or sslmode=disable/,
    ],
    [
      "by a certificate of an authority that is not named",
      () => postgres.url("?sslmode=verify-full"),
      /certificate is of an authority that is not known here; name the file .* in sslrootcert, or set sslmode=no-verify/,
    ],
    [
      "by a certificate of another authority",
      () => postgres.url("?sslmode=verify-ca&sslrootcert={stranger.pem}"),
      /certificate is of an authority that is not known here|is not signed by the authority/,
    ],
    [
      "by a file that is not there",
      () => postgres.url("?sslrootcert=/nowhere.pem"),
      /sslrootcert names \/nowhere\.pem, which cannot be read \(ENOENT\)/,
    ],
    [
      "by a file that is no certificate",
      () => postgres.url("?sslrootcert={empty.pem}"),
      /empty\.pem, which is no PEM file/,
    ],
    [
      "by an account that needs a client certificate",
      () => postgres.url("?sslrootcert={root.pem}", "guarded"),
      /valid client certificate: name a certificate that it takes in sslcert/,
    ],
    [
      "by a client certificate of another authority",
      () => postgres.url("?sslrootcert={root.pem}&sslcert={foreign.pem}&sslkey={foreign.key}", "guarded"),
      /it refuses the certificate of sslcert \(unknown ca\): name one that it takes/,
    ],
    [
      "by a client certificate of somebody else",
      () => postgres.url("?sslrootcert={root.pem}&sslcert={other.pem}&sslkey={other.key}", "guarded"),
      /certificate authentication failed for user "guarded": name a certificate that it takes/,
    ],
    [
      "by a key that is another certificate's",
      () => postgres.url("?sslrootcert={root.pem}&sslcert={client.pem}&sslkey={other.key}", "guarded"),
      /sslkey is not the key of the certificate in sslcert/,
    ],
  ])("%s", async (_what, url, sentence) => {
    const error = await failedStart(named(url()));
    expect(error.message).toMatch(sentence);
    expect(error.message.split("\n")).toHaveLength(1);
    expect(error.stack).not.toContain("wr0ng");
  });

  test.each<[what: string, make: () => Promise<Issued>, sentence: RegExp]>([
    [
      "signed by itself",
      () => issue("127.0.0.1", { names: localhost }),
      /certificate is signed by itself; name the file with its authority's certificate in sslrootcert/,
    ],
    [
      "of another host",
      () => issue("db", { by: authority, names: [{ type: "dns", value: "db.example.com" }] }),
      /certificate is for another host; name the host as the certificate does, or set sslmode=verify-ca/,
    ],
    [
      "that has expired",
      () => issue("127.0.0.1", { by: authority, names: localhost, from: -2, to: -1 }),
      /certificate, or one of its authorities', has expired; renew it/,
    ],
  ])("by a server's certificate %s", async (_what, make, sentence) => {
    await present(await make());
    const error = await failedStart(named(postgres.url("?sslmode=require&sslrootcert={root.pem}")));
    expect(error.message).toMatch(sentence);
  });
});

describe("a connection with TLS", () => {
  const tlsOf = async (parameters: string, user = "sendoff"): Promise<unknown> => {
    const pool = createPool({ connectionString: named(postgres.url(parameters, user)) }, createLog("silent"));
    const { rows } = await pool.query(
      "SELECT ssl, client_dn AS dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    );
    await pool.end();
    return rows[0];
  };

  test("is verified by its authority's certificate, and by the client's where that is asked for", async () => {
    await present(await issue("127.0.0.1", { by: authority, names: localhost }));
    expect(await tlsOf("?sslrootcert={root.pem}")).toEqual({ ssl: true, dn: null });
    expect(await tlsOf("?sslmode=require&sslrootcert={root.pem}", "encrypted")).toEqual({
      ssl: true,
      dn: null,
    });
    const withCertificate = "?sslrootcert={root.pem}&sslcert={client.pem}&sslkey={client.key}";
    expect(await tlsOf(withCertificate, "guarded")).toEqual({ ssl: true, dn: "/CN=guarded" });
  });

  test("verifies less where sslmode says so: no name with verify-ca, nothing with no-verify", async () => {
    await present(await issue("db", { by: authority, names: [{ type: "dns", value: "db.example.com" }] }));
    expect(await tlsOf("?sslmode=verify-ca&sslrootcert={root.pem}")).toEqual({ ssl: true, dn: null });
    await present(await issue("127.0.0.1"));
    expect(await tlsOf("?sslmode=no-verify")).toEqual({ ssl: true, dn: null });
    expect(await tlsOf("?sslmode=disable")).toEqual({ ssl: false, dn: null });
  });
});
