/** A bucket as SENDOFF_RECORDINGS names it. Keys and secrets are no part of it: they come as AWS's tools have them. */
export interface BucketSetting {
  readonly bucket: string;
  /** Stands before each key, with a slash at its end; empty: none. */
  readonly prefix: string;
  /** null: AWS's own. */
  readonly endpoint: string | null;
  /** null: AWS_REGION, else us-east-1. */
  readonly region: string | null;
  /** The bucket stands in the path, not in the host's name. Default: with an endpoint. */
  readonly pathStyle: boolean;
}

const names = new Set(["endpoint", "region", "pathStyle"]);

/** Reads `s3://bucket/prefix?endpoint=...&region=...&pathStyle=true`; null when it is not that. */
export function parseBucket(text: string): BucketSetting | null {
  if (!URL.canParse(text)) return null;
  const { protocol, hostname, pathname, searchParams, username, password, port, hash } = new URL(text);
  const prefix = decoded(pathname)?.replace(/^\/+|\/+$/g, "");
  if (protocol !== "s3:" || !/^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/.test(hostname)) return null;
  if (username !== "" || password !== "" || port !== "" || hash !== "") return null;
  if (prefix === undefined || !/^[A-Za-z0-9._:=/-]{0,500}$/.test(prefix)) return null;
  if (prefix.split("/").some((part) => part === "." || part === ".." || (part === "" && prefix !== "")))
    return null;
  if ([...searchParams.keys()].some((name) => !names.has(name) || searchParams.getAll(name).length > 1))
    return null;
  const endpoint = searchParams.get("endpoint");
  if (endpoint !== null && !/^https?:$/.test(URL.canParse(endpoint) ? new URL(endpoint).protocol : ""))
    return null;
  const pathStyle = searchParams.get("pathStyle") ?? String(endpoint !== null);
  if (pathStyle !== "true" && pathStyle !== "false") return null;
  return {
    bucket: hostname,
    prefix: prefix === "" ? "" : `${prefix}/`,
    endpoint: endpoint?.replace(/\/+$/, "") ?? null,
    region: searchParams.get("region"),
    pathStyle: pathStyle === "true",
  };
}

function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}
