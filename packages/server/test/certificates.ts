// First: the next module needs it when it is loaded.
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

x509.cryptoProvider.set(webcrypto as never);

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const dayMs = 86_400_000;

/** A certificate with its private key, both in PEM. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
  readonly issuer: { readonly certificate: x509.X509Certificate; readonly keys: CryptoKeyPair };
}

type CryptoKeyPair = Awaited<ReturnType<typeof newKeys>>;

const newKeys = () => webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);

export interface CertificateOptions {
  /** Who signs it; the certificate signs itself when it is missing. */
  readonly by?: Issued;
  /** Names and addresses that it is for. */
  readonly names?: ReadonlyArray<{ readonly type: "dns" | "ip"; readonly value: string }>;
  readonly ca?: boolean;
  /** In days from now. */
  readonly from?: number;
  readonly to?: number;
  /** Further extensions. */
  readonly more?: readonly x509.Extension[];
}

let serial = 1;

/** Makes a certificate for the moment of a test: none is kept in the repository, where it would expire. */
export async function issue(subject: string, options: CertificateOptions = {}): Promise<Issued> {
  const keys = await newKeys();
  const { by, names = [], ca = false, from = -1, to = 1, more = [] } = options;
  serial += 1;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial.toString(16).padStart(4, "0"),
    subject: `CN=${subject}`,
    issuer: by === undefined ? `CN=${subject}` : by.issuer.certificate.subject,
    notBefore: new Date(Date.now() + from * dayMs),
    notAfter: new Date(Date.now() + to * dayMs),
    publicKey: keys.publicKey as never,
    signingKey: (by?.issuer.keys ?? keys).privateKey as never,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(ca, undefined, true),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension([...names])]),
      ...more,
    ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return {
    cert: certificate.toString("pem"),
    key: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/.{64}/g, "$&\n")}\n-----END PRIVATE KEY-----\n`,
    issuer: { certificate, keys },
  };
}

/** Only names under one domain may be certified (RFC 5280, 4.2.1.10). */
export function permittedNames(domain: string): x509.Extension {
  const name = Buffer.from(domain, "latin1");
  const tagged = (tag: number, content: Buffer): Buffer =>
    Buffer.concat([Buffer.from([tag, content.length]), content]);
  const permitted = tagged(0xa0, tagged(0x30, tagged(0x82, name)));
  return new x509.Extension("2.5.29.30", true, tagged(0x30, permitted));
}
