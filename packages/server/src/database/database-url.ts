/** Reads a DATABASE_URL: one host or several, as libpq writes them. Pure: no file is read and no name is resolved. */

export interface Host {
  /** A name, an address (IPv6 without brackets), or the folder of a Unix socket. */
  readonly host: string;
  readonly port: number;
}

/** What the server must be: reachable, one that writes by default, or none that is in recovery. */
export type SessionTarget = "any" | "read-write" | "primary";

type SslMode = "disable" | "no-verify" | "verify-ca" | "require" | "verify-full";

/** Files, and what is verified. The files are read for each connection, so that renewed ones are taken up. */
export interface Tls {
  readonly mode: SslMode;
  readonly rootCertificate?: string;
  readonly certificate?: string;
  readonly key?: string;
}

export interface DatabaseUrl {
  readonly hosts: readonly Host[];
  readonly user?: string;
  readonly password?: string;
  readonly database?: string;
  readonly target: SessionTarget;
  /** Missing when the URL says nothing of it: then PGSSLMODE decides, and without it there is no TLS. */
  readonly tls?: Tls;
  /** What the operator wants sent at start-up. PgBouncer refuses it. */
  readonly options?: string;
  readonly applicationName?: string;
}

/** What is wrong with the URL, as the end of a sentence. It quotes nothing that can be part of a password. */
export class DatabaseUrlError extends Error {}

const targets = ["any", "read-write", "primary"] as const;
const sslModes = ["disable", "no-verify", "verify-ca", "require", "verify-full"] as const;
const parameters = [
  ...["host", "port", "user", "password", "dbname", "target_session_attrs", "application_name", "options"],
  ...["sslmode", "sslrootcert", "sslcert", "sslkey"],
];
const portStandard = 5_432;
const hostsMax = 16;

/** @throws DatabaseUrlError */
export function parseDatabaseUrl(text: string): DatabaseUrl {
  const parts = /^postgres(?:ql)?:\/\/(?:([^/?]*)@)?([^/?@]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(text);
  if (parts === null) {
    throw new DatabaseUrlError("expected an address such as postgres://user:password@host:5432/sendoff");
  }
  const [, account = "", authority = "", path = "", query = ""] = parts;
  if (text.includes("#") || `${path}${query}`.includes("@")) {
    throw new DatabaseUrlError(
      "write @ : / ? # % and spaces in a user, a password or a name as %40 %3A %2F %3F %23 %25 %20",
    );
  }
  const given = readParameters(query);
  const colon = account.includes(":") ? account.indexOf(":") : account.length;
  const user = given.get("user") ?? decoded(account.slice(0, colon), "user");
  const password = given.get("password") ?? decoded(account.slice(colon + 1), "password");
  const database = given.get("dbname") ?? decoded(path, "database's name");
  const tls = readTls(given);
  const options = given.get("options");
  const applicationName = given.get("application_name");
  return {
    hosts: readHosts(authority, given.get("host"), given.get("port")),
    ...(user === "" ? {} : { user }),
    ...(password === "" ? {} : { password }),
    ...(database === "" ? {} : { database }),
    target: oneOf("target_session_attrs", given.get("target_session_attrs") ?? "read-write", targets),
    ...(tls === null ? {} : { tls }),
    ...(options === undefined ? {} : { options }),
    ...(applicationName === undefined ? {} : { applicationName }),
  };
}

function readParameters(query: string): Map<string, string> {
  const given = new Map<string, string>();
  for (const pair of query === "" ? [] : query.split("&")) {
    const [, name = "", value = ""] = /^([^=]*)=?(.*)$/s.exec(pair) ?? [];
    if (!parameters.includes(name)) {
      const which = /^\w{1,40}$/.test(name)
        ? `has the unknown parameter ${name}`
        : "has an unknown parameter";
      throw new DatabaseUrlError(`it ${which}; expected those of ${parameters.join(", ")}`);
    }
    if (given.has(name)) throw new DatabaseUrlError(`it has the parameter ${name} twice`);
    if (value !== "") given.set(name, decoded(value, name));
  }
  return given;
}

function decoded(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new DatabaseUrlError(`its ${what} has a % that begins no code such as %25, which stands for %`);
  }
}

function oneOf<const Name extends string>(what: string, value: string, names: readonly Name[]): Name {
  const found = names.find((name) => name === value);
  if (found === undefined) {
    throw new DatabaseUrlError(`${what} is ${JSON.stringify(value)}; expected ${names.join(", ")}`);
  }
  return found;
}

/** Hosts and ports of the authority; the parameters prevail, as in libpq. */
function readHosts(authority: string, hostList?: string, portList?: string): Host[] {
  const entries = authority.split(",").map(splitPort);
  const hosts = hostList?.split(",") ?? entries.map(({ host }) => decoded(host, "host"));
  const own = entries.length === hosts.length ? entries.map(({ port }) => port) : [""];
  const ports = portList?.split(",") ?? own;
  if (hosts.length > hostsMax)
    throw new DatabaseUrlError(`it names ${hosts.length} hosts; expected ${hostsMax} at most`);
  if (ports.length !== 1 && ports.length !== hosts.length) {
    throw new DatabaseUrlError(
      `it has ${ports.length} ports and ${hosts.length} ${hosts.length === 1 ? "host" : "hosts"}; expected one port for all, or one for each`,
    );
  }
  return hosts.map((host, index) => {
    const place = hosts.length === 1 ? "its host" : `host ${index + 1} of ${hosts.length}`;
    if (host === "")
      throw new DatabaseUrlError(`${place} is empty; expected a name, an address or a socket's folder`);
    return { host, port: readPort((ports.length === 1 ? ports[0] : ports[index]) ?? "", place) };
  });
}

function splitPort(entry: string): { host: string; port: string } {
  const [, ipv6, host = "", port = ""] = /^(?:\[([^\]]*)\]|([^:]*))(?::(.*))?$/s.exec(entry) ?? [];
  return { host: ipv6 ?? host, port };
}

function readPort(text: string, place: string): number {
  if (text === "") return portStandard;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  // The text is not shown: of a password with a / in it this may be the first half.
  if (port < 1 || port > 65_535)
    throw new DatabaseUrlError(`the port of ${place} is no whole number from 1 to 65535`);
  return port;
}

function readTls(given: ReadonlyMap<string, string>): Tls | null {
  const [rootCertificate, certificate, key] = ["sslrootcert", "sslcert", "sslkey"].map((name) =>
    given.get(name),
  );
  const files = [rootCertificate, certificate, key].some((file) => file !== undefined);
  if (!given.has("sslmode") && !files) return null;
  const mode = oneOf("sslmode", given.get("sslmode") ?? "verify-full", sslModes);
  if (mode === "disable" && files) {
    throw new DatabaseUrlError("sslmode is disable, and files for TLS are named; remove one of the two");
  }
  if (mode === "verify-ca" && (rootCertificate === undefined || rootCertificate === "system")) {
    // Anybody gets a certificate of a public authority: without the name it says nothing.
    throw new DatabaseUrlError(
      "sslmode is verify-ca without sslrootcert; name the file with the authority's certificate",
    );
  }
  if ((certificate === undefined) !== (key === undefined)) {
    throw new DatabaseUrlError("sslcert and sslkey belong together; name both files or none");
  }
  return {
    mode,
    ...(rootCertificate === undefined || rootCertificate === "system" ? {} : { rootCertificate }),
    ...(certificate === undefined || key === undefined ? {} : { certificate, key }),
  };
}

/** As it stands in messages and logs. */
export const hostName = ({ host, port }: Host): string =>
  host.startsWith("/") ? `${host}/.s.PGSQL.${port}` : `${host.includes(":") ? `[${host}]` : host}:${port}`;
