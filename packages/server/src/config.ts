import { resolve } from "node:path";
import { durationMs } from "@sendoff/contract";
import { z } from "zod";
import { DatabaseUrlError, parseDatabaseUrl } from "./database/database-url.ts";
import type { DispatchLimits } from "./dispatch/dispatcher.ts";
import { type EgressPolicy, parseBlocks, parsePorts } from "./egress/policy.ts";
import { isProxyList } from "./http/address.ts";
import type { RateLimits } from "./http/request-limits.ts";
import type { Graces } from "./lifecycle/deadline.ts";
import { type BucketSetting, parseBucket } from "./recordings/setting.ts";
import { parseBytes, parseUploadRate, type UploadLimits } from "./recordings/upload-limits.ts";
import { parseSecretKey } from "./secrets/seal.ts";

/** Everything that can be set, checked. Behaviour, section 9. */
export interface Config {
  /** PORT, 4600. 0 takes any free one. null: not set, which means 4600 but for a worker alone, which then has none. */
  readonly port: number | null;
  /** HOST, 127.0.0.1. */
  readonly host: string;
  /** SENDOFF_DATA, `.sendoff`: the embedded PostgreSQL, start.json, the secret key, recordings. An absolute path. */
  readonly dataFolder: string;
  /** DATABASE_URL: a PostgreSQL 15 or later, with one host or several. null: the embedded one. */
  readonly databaseUrl: string | null;
  /**
   * SENDOFF_DATABASE_TIMEOUT, 5s, from 1s to 60s: how long a report or a readiness probe waits for PostgreSQL before it is
   * answered with 503.
   */
  readonly databaseTimeoutMs: number;
  /**
   * Where POSTs may go. SENDOFF_ALLOW_HTTP: `loopback` on the local start (no DATABASE_URL), else `none`;
   * SENDOFF_EGRESS_ALLOW, SENDOFF_EGRESS_DENY and SENDOFF_EGRESS_PORTS: empty; SENDOFF_EGRESS_NAT64: `off`.
   */
  readonly egress: EgressPolicy;
  /** SENDOFF_SECRET_KEY: seals header values and secrets. null: made on the first start and kept in the data folder. */
  readonly secretKey: Buffer | null;
  /** SENDOFF_SECRET_KEYS_OLD, comma-separated, none: keys of before, which still open and never seal. */
  readonly oldSecretKeys: readonly Buffer[];
  /** SENDOFF_PUBLIC_URL: where others reach this installation. null: http://HOST:PORT. */
  readonly publicUrl: string | null;
  /** SENDOFF_CONVERSATION_GRACE, SENDOFF_CALL_GRACE, SENDOFF_SESSION_TIMEOUT: 30s, 5m, 6h. */
  readonly graces: Graces;
  /** SENDOFF_RETENTION, 30d, at least 1d: how long sessions, events, attempts and what the inspector got are kept. */
  readonly retentionMs: number;
  /** SENDOFF_IN_FLIGHT_MAX and SENDOFF_ENDPOINT_IN_FLIGHT_MAX: 1024 and 32. */
  readonly limits: DispatchLimits;
  /** SENDOFF_RATE_LIMIT, SENDOFF_WRONG_KEY_LIMIT and SENDOFF_TRUSTED_PROXIES: 20000:40000, 60 and none. */
  readonly rateLimits: RateLimits;
  /** SENDOFF_ADDRESS_CONNECTIONS_MAX, 2000: most open connections of one address that is no trusted proxy. */
  readonly addressConnectionsMax: number;
  /** SENDOFF_RECORDINGS, `s3://bucket/prefix?endpoint=...`. null: `recordings` in the data folder. */
  readonly recordings: BucketSetting | null;
  /** SENDOFF_RECORDING_LINK_LIFE, 15m, from 1m to 7d, which is the most that S3 takes: how long a recordingUrl works. */
  readonly recordingLinkLifeMs: number;
  /**
   * SENDOFF_UPLOAD_BYTES_MAX, SENDOFF_UPLOAD_TIME_MAX, SENDOFF_UPLOAD_RATE, SENDOFF_PROJECT_UPLOADS_MAX and
   * SENDOFF_PROJECT_RECORDINGS_MAX: 1GiB, 2h, 1KiB:32MiB, 16 and 100GiB.
   */
  readonly uploads: UploadLimits;
  /** SENDOFF_DISK_RESERVE, 2GiB: uploads leave so much of the recordings' disk free, for PostgreSQL. */
  readonly diskReserveBytes: number;
  /** SENDOFF_LOG: debug, info, warn, error or silent; `info`. */
  readonly logLevel: "debug" | "info" | "warn" | "error" | "silent";
}

/** Some setting is wrong. The message has a line for each. */
export class ConfigError extends Error {}

const url = (...protocols: string[]) =>
  z.string().refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol));

const duration = (standard: string) =>
  z
    .string()
    .regex(/^\d{1,9}(ms|s|m|h|d)$/)
    .default(standard)
    .transform(durationMs)
    .meta({ expected: "a whole number and a unit, such as 30s (ms, s, m, h, d)" });

const count = (standard: number, max: number) =>
  z.coerce
    .number<string>()
    .int()
    .min(1)
    .max(max)
    .default(standard)
    .meta({ expected: `a whole number from 1 to ${max}` });

const bytes = (standard: string) =>
  z
    .string()
    .default(standard)
    .transform(parseBytes)
    .refine((size) => size !== null)
    .meta({ expected: "a whole number above 0 and a unit, such as 500MiB (KiB, MiB, GiB, TiB)" });

const dayMs = 86_400_000;
const networks = () =>
  z
    .string()
    .refine((list) => parseBlocks(list) !== null)
    .optional()
    .meta({ expected: "networks separated by commas, such as 10.0.0.0/8,fd00::/8" });

const blocksOf = (list: string | undefined): EgressPolicy["allow"] =>
  list === undefined ? [] : (parseBlocks(list) ?? []);

/** The parser says what is wrong: of an address whose value is not shown, that it is wrong would say too little. */
function checkDatabaseUrl(text: string, context: z.RefinementCtx): void {
  try {
    parseDatabaseUrl(text);
  } catch (error) {
    if (!(error instanceof DatabaseUrlError)) throw error;
    context.addIssue({ code: "custom", message: error.message });
  }
}

const Settings = z.object({
  PORT: z.coerce
    .number<string>()
    .int()
    .min(0)
    .max(65_535)
    .optional()
    .meta({ expected: "a port from 0 to 65535" }),
  HOST: z.string().min(1).default("127.0.0.1").meta({ expected: "an address or a host's name" }),
  SENDOFF_DATA: z.string().min(1).default(".sendoff").meta({ expected: "a folder" }),
  DATABASE_URL: z.string().superRefine(checkDatabaseUrl).optional(),
  SENDOFF_DATABASE_TIMEOUT: duration("5s")
    .refine((ms) => ms >= 1_000 && ms <= 60_000)
    .meta({ expected: "a whole number and a unit, such as 5s, from 1s to 60s" }),
  SENDOFF_ALLOW_HTTP: z
    .enum(["none", "loopback", "all"])
    .optional()
    .meta({ expected: "none, loopback or all" }),
  SENDOFF_EGRESS_ALLOW: networks(),
  SENDOFF_EGRESS_DENY: networks(),
  SENDOFF_EGRESS_PORTS: z
    .string()
    .refine((list) => parsePorts(list) !== null)
    .optional()
    .meta({ expected: "ports and ranges from 1 to 65535, separated by commas, such as 8080,9000-9100" }),
  SENDOFF_EGRESS_NAT64: z.enum(["off", "on"]).default("off").meta({ expected: "off or on" }),
  SENDOFF_SECRET_KEY: z
    .string()
    .refine((text) => parseSecretKey(text) !== null)
    .optional()
    .meta({ expected: "32 random bytes in base64, such as `openssl rand -base64 32` prints" }),
  SENDOFF_SECRET_KEYS_OLD: z
    .string()
    .transform((text) => text.split(",").map((key) => parseSecretKey(key.trim())))
    .refine((keys) => keys.every((key) => key !== null))
    .optional()
    .meta({ expected: "keys of 32 bytes in base64 with commas between them" }),
  SENDOFF_PUBLIC_URL: url("http:", "https:").optional().meta({ expected: "an http or https address" }),
  SENDOFF_CONVERSATION_GRACE: duration("30s"),
  SENDOFF_CALL_GRACE: duration("5m"),
  SENDOFF_SESSION_TIMEOUT: duration("6h"),
  SENDOFF_RETENTION: duration("30d")
    .refine((ms) => ms >= dayMs && ms <= 36_500 * dayMs)
    .meta({ expected: "a whole number and a unit, such as 30d, from 1d to 36500d" }),
  SENDOFF_IN_FLIGHT_MAX: count(1_024, 10_000),
  SENDOFF_ENDPOINT_IN_FLIGHT_MAX: count(32, 64),
  SENDOFF_RATE_LIMIT: z
    .string()
    .regex(/^[1-9]\d{0,6}:\d{1,7}$/)
    .default("20000:40000")
    .meta({ expected: "requests a second of one key and, after a colon, how many more within 10 s" }),
  SENDOFF_WRONG_KEY_LIMIT: count(60, 1_000_000),
  SENDOFF_TRUSTED_PROXIES: z
    .string()
    .transform((text) => text.split(",").map((range) => range.trim()))
    .refine(isProxyList)
    .optional()
    .meta({ expected: "addresses or ranges with commas between them, such as 10.0.0.0/8,fd00::/8" }),
  SENDOFF_ADDRESS_CONNECTIONS_MAX: count(2_000, 10_000),
  SENDOFF_RECORDINGS: z
    .string()
    .transform(parseBucket)
    .refine((bucket) => bucket !== null)
    .optional()
    .meta({
      expected:
        "a bucket such as s3://bucket/prefix?endpoint=https://storage.example.com&region=eu-1 (also pathStyle=true or false; keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)",
    }),
  SENDOFF_RECORDING_LINK_LIFE: duration("15m")
    .refine((ms) => ms >= 60_000 && ms <= 7 * dayMs)
    .meta({ expected: "a whole number and a unit, such as 15m, from 1m to 7d" }),
  SENDOFF_UPLOAD_BYTES_MAX: bytes("1GiB"),
  SENDOFF_UPLOAD_TIME_MAX: duration("2h")
    .refine((ms) => ms >= 1_000 && ms <= dayMs)
    .meta({ expected: "a whole number and a unit, such as 2h, from 1s to 1d" }),
  SENDOFF_UPLOAD_RATE: z
    .string()
    .default("1KiB:32MiB")
    .transform(parseUploadRate)
    .refine((rate) => rate !== null)
    .meta({
      expected:
        "bytes a second that one upload brings at least and, after a colon, that a project's bring at most, such as 1KiB:32MiB",
    }),
  SENDOFF_PROJECT_UPLOADS_MAX: count(16, 64),
  SENDOFF_PROJECT_RECORDINGS_MAX: bytes("100GiB"),
  SENDOFF_DISK_RESERVE: bytes("2GiB"),
  SENDOFF_LOG: z
    .enum(["debug", "info", "warn", "error", "silent"])
    .default("info")
    .meta({ expected: "debug, info, warn, error or silent" }),
});

/** Settings whose value must not stand in an error message. */
const secretSettings = new Set(["DATABASE_URL", "SENDOFF_SECRET_KEY", "SENDOFF_SECRET_KEYS_OLD"]);

/**
 * Reads the settings. An empty variable counts as not set.
 *
 * @throws ConfigError that tells of every wrong one at once.
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const given = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value !== ""),
  );
  const result = Settings.safeParse(given);
  const wrong = result.success ? [] : result.error.issues.map((issue) => settingError(issue, given));
  const unknown = Object.keys(given).filter(
    (name) => name.startsWith("SENDOFF_") && !(name in Settings.shape) && !clientSettings.has(name),
  );
  for (const name of unknown) {
    wrong.push(`${name} is not a setting; expected one of ${Object.keys(Settings.shape).join(", ")}`);
  }
  // Whoever sets this has turned the verification of certificates off for every connection of this process.
  if (given.NODE_TLS_REJECT_UNAUTHORIZED === "0") {
    wrong.push(
      'NODE_TLS_REJECT_UNAUTHORIZED is "0"; expected it not to be set. To trust a certificate authority of your own, name its file in NODE_EXTRA_CA_CERTS',
    );
  }
  if (!result.success || wrong.length > 0) {
    throw new ConfigError(
      `Some settings are wrong:\n${[...new Set(wrong)].map((line) => `  - ${line}`).join("\n")}`,
    );
  }
  const settings = result.data;
  return {
    port: settings.PORT ?? null,
    host: settings.HOST,
    dataFolder: resolve(settings.SENDOFF_DATA),
    databaseUrl: settings.DATABASE_URL ?? null,
    databaseTimeoutMs: settings.SENDOFF_DATABASE_TIMEOUT,
    egress: {
      allowHttp: settings.SENDOFF_ALLOW_HTTP ?? (settings.DATABASE_URL === undefined ? "loopback" : "none"),
      allow: blocksOf(settings.SENDOFF_EGRESS_ALLOW),
      deny: blocksOf(settings.SENDOFF_EGRESS_DENY),
      ports:
        settings.SENDOFF_EGRESS_PORTS === undefined ? [] : (parsePorts(settings.SENDOFF_EGRESS_PORTS) ?? []),
      nat64: settings.SENDOFF_EGRESS_NAT64 === "on",
    },
    secretKey: settings.SENDOFF_SECRET_KEY === undefined ? null : parseSecretKey(settings.SENDOFF_SECRET_KEY),
    oldSecretKeys: (settings.SENDOFF_SECRET_KEYS_OLD ?? []).filter((key) => key !== null),
    publicUrl: settings.SENDOFF_PUBLIC_URL?.replace(/\/+$/, "") ?? null,
    graces: {
      conversationMs: settings.SENDOFF_CONVERSATION_GRACE,
      callMs: settings.SENDOFF_CALL_GRACE,
      sessionMs: settings.SENDOFF_SESSION_TIMEOUT,
    },
    retentionMs: settings.SENDOFF_RETENTION,
    limits: {
      inFlightMax: settings.SENDOFF_IN_FLIGHT_MAX,
      perEndpointMax: settings.SENDOFF_ENDPOINT_IN_FLIGHT_MAX,
    },
    rateLimits: {
      perSecond: Number(settings.SENDOFF_RATE_LIMIT.split(":")[0]),
      burst: Number(settings.SENDOFF_RATE_LIMIT.split(":")[1]),
      wrongKeysPerMinute: settings.SENDOFF_WRONG_KEY_LIMIT,
      trustedProxies: settings.SENDOFF_TRUSTED_PROXIES ?? [],
    },
    addressConnectionsMax: settings.SENDOFF_ADDRESS_CONNECTIONS_MAX,
    recordings: settings.SENDOFF_RECORDINGS ?? null,
    recordingLinkLifeMs: settings.SENDOFF_RECORDING_LINK_LIFE,
    uploads: {
      bytesMax: settings.SENDOFF_UPLOAD_BYTES_MAX,
      timeMaxMs: settings.SENDOFF_UPLOAD_TIME_MAX,
      rate: settings.SENDOFF_UPLOAD_RATE,
      projectMax: settings.SENDOFF_PROJECT_UPLOADS_MAX,
      projectBytesMax: settings.SENDOFF_PROJECT_RECORDINGS_MAX,
    },
    diskReserveBytes: settings.SENDOFF_DISK_RESERVE,
    logLevel: settings.SENDOFF_LOG,
  };
}

/** Settings of the command line's client half, which may stand in the same environment. */
const clientSettings = new Set([
  "SENDOFF_API_URL",
  "SENDOFF_KEY",
  "SENDOFF_PROJECT",
  "SENDOFF_INSPECTOR_URL",
]);

function settingError(issue: z.core.$ZodIssue, given: Record<string, string | undefined>): string {
  const name = String(issue.path[0]);
  const setting = Settings.shape[name as keyof typeof Settings.shape] as z.ZodType | undefined;
  const expected = setting?.meta()?.expected;
  const value = secretSettings.has(name) ? "(not shown)" : JSON.stringify(given[name]);
  return `${name} is ${value}; ${expected === undefined ? issue.message : `expected ${String(expected)}`}`;
}
