import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import type { Tls } from "./database-url.ts";

/** A file that DATABASE_URL names for TLS cannot be read. */
export class TlsFileError extends Error {}

/**
 * What Node.js needs to know of TLS. `require` verifies what `verify-full` does: an encrypted connection to whoever
 * answers protects from nobody who can answer (ADR 0049).
 *
 * @throws TlsFileError
 */
export function tlsOptions(tls: Tls): false | ConnectionOptions {
  if (tls.mode === "disable") return false;
  return {
    ...(tls.mode === "no-verify" ? { rejectUnauthorized: false } : {}),
    ...(tls.mode === "verify-ca" ? { checkServerIdentity: () => undefined } : {}),
    ...(tls.rootCertificate === undefined ? {} : { ca: read("sslrootcert", tls.rootCertificate) }),
    ...(tls.certificate === undefined ? {} : { cert: read("sslcert", tls.certificate) }),
    ...(tls.key === undefined ? {} : { key: read("sslkey", tls.key) }),
  };
}

function read(parameter: string, file: string): string {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new TlsFileError(`${parameter} names ${file}, which cannot be read (${code})`);
  }
  // Node.js passes by what is no certificate, and would then say of the server's that nobody has signed it.
  if (!text.includes("-----BEGIN ")) {
    throw new TlsFileError(`${parameter} names ${file}, which is no PEM file: it has no line -----BEGIN`);
  }
  return text;
}
