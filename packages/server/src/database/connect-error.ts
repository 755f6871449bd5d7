import { type Host, hostName } from "./database-url.ts";
import { TlsFileError } from "./tls.ts";

/** Why one host was not taken. */
export interface Failure {
  readonly host: Host;
  /** A sentence without its end, without the password. */
  readonly reason: string;
  /** SQLSTATE or the code of a socket's error; empty when there is none. */
  readonly code: string;
  /** Whether waiting alone does not help: somebody has to change something. */
  readonly lasting: boolean;
}

/** Reasons that are told as such when they are those of every host: read-only, no connections left, starting up. */
const telling = /^(25006|53|57P)/;

/** No host of DATABASE_URL gave a connection. */
export class ConnectError extends Error {
  /** As a rule that of a connection that could not be made: whatever the reason, another try is right. */
  readonly code: string;
  readonly failures: readonly Failure[];

  constructor(failures: readonly Failure[], options?: ErrorOptions) {
    super(failures.map(({ host, reason }) => `${hostName(host)}: ${reason}`).join("; "), options);
    this.failures = failures;
    const [code = "", ...others] = new Set(failures.map((failure) => failure.code));
    this.code = others.length === 0 && telling.test(code) ? code : "08001";
  }

  get lasting(): boolean {
    return this.failures.every(({ lasting }) => lasting);
  }
}

/** The server answers, and is not one that may be written to. */
export class WrongTargetError extends Error {
  readonly code = "25006";
}

const advice: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  ENOTFOUND: "this name has no address",
  EAI_AGAIN: "the name servers do not answer",
  ENOENT: "there is no such socket",
  ETIMEDOUT: "it does not answer",
  EHOSTUNREACH: "no network leads there",
  ENETUNREACH: "no network leads there",
  "3D000": "create the database, or name another one",
  "53300":
    "raise max_connections, or the limit of the role or the database: a process of Sendoff has up to 17 connections",
  "42704": "a PostgreSQL before 15 does not have this",
};

const nameOfAuthority =
  "name the file with its authority's certificate in sslrootcert, or set sslmode=no-verify to verify nothing";
const certificateAdvice: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: `the server's certificate is signed by itself; ${nameOfAuthority}`,
  SELF_SIGNED_CERT_IN_CHAIN: `the server's certificate is of an authority that is not known here; ${nameOfAuthority}`,
  UNABLE_TO_GET_ISSUER_CERT: `the server's certificate is of an authority that is not known here; ${nameOfAuthority}`,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: `the server's certificate is of an authority that is not known here; ${nameOfAuthority}`,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: `the server's certificate is of an authority that is not known here; ${nameOfAuthority}`,
  CERT_SIGNATURE_FAILURE: `the server's certificate is not signed by the authority in sslrootcert; ${nameOfAuthority}`,
  CERT_HAS_EXPIRED: "the server's certificate, or one of its authorities', has expired; renew it",
  CERT_NOT_YET_VALID: "the server's certificate is not valid yet; is the clock of this machine right?",
  ERR_TLS_CERT_ALTNAME_INVALID:
    "the server's certificate is for another host; name the host as the certificate does, or set sslmode=verify-ca with sslrootcert to verify the authority alone",
  ERR_OSSL_X509_KEY_VALUES_MISMATCH: "sslkey is not the key of the certificate in sslcert",
};

/** What a failed connection says of itself, in words of whoever set DATABASE_URL. */
export function failureOf(host: Host, error: Error): Failure {
  const code = "code" in error ? String(error.code) : "";
  const lasting =
    error instanceof TlsFileError ||
    code in certificateAdvice ||
    /^(28|3D|42|ERR_SSL|ERR_OSSL|EPROTO)/.test(code) ||
    /does not support SSL|password must be a|unsupported startup parameter/.test(error.message);
  return { host, code, lasting, reason: reasonOf(error, code) };
}

function reasonOf(error: Error, code: string): string {
  // Node.js says nothing of a name with several addresses but the code of the last one.
  const said = error.message === "" ? code : error.message;
  const certificate = certificateAdvice[code];
  if (certificate !== undefined) return `${certificate} (${code})`;
  if (code.startsWith("28")) return accessReason(said);
  if (/^(ERR_SSL|ERR_OSSL|EPROTO)/.test(code)) return tlsReason(said);
  if (said.includes("does not support SSL")) {
    return "it has no TLS; set ssl = on in its postgresql.conf, or sslmode=disable here";
  }
  if (said.includes("password must be a")) return "it asks for a password, and DATABASE_URL has none";
  if (said.includes("unsupported startup parameter")) {
    return `${said}: remove options from DATABASE_URL and PGOPTIONS`;
  }
  if (/^timeout expired$|Query read timeout/.test(said)) return "it does not answer in time";
  const more = advice[code];
  return more === undefined ? said : `${said}: ${more}`;
}

function accessReason(message: string): string {
  if (/client certificate|certificate authentication/.test(message)) {
    return `${message}: name a certificate that it takes in sslcert and its key in sslkey`;
  }
  if (message.includes("no encryption")) return `${message}: set sslmode=require`;
  return message;
}

/** An alert of the server's side of TLS, or a key of ours that OpenSSL does not read. */
function tlsReason(message: string): string {
  const alert = /alert ([a-z ]+)/.exec(message)?.[1]?.trim() ?? "";
  if (/unknown ca|certificate|decrypt error/.test(alert)) {
    return `it refuses the certificate of sslcert (${alert}): name one that it takes in sslcert and its key in sslkey`;
  }
  return `TLS failed (${message}): look at sslmode, sslrootcert, sslcert and sslkey`;
}
