import { execFile } from "node:child_process";
import { createDecipheriv, randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { allEvents, type Behaviour, behaviours, forbiddenAddress, timeoutMs } from "./behaviours.ts";
import { type Client, createClient } from "./client.ts";
import type { Cluster } from "./cluster.ts";
import type { DrivenProject } from "./driver.ts";
import type { Endpoint, Features } from "./history.ts";
import { becomes } from "./monotonic.ts";
import { type FleetOptions, Member } from "./processes.ts";
import { settings, startMaxMs } from "./settings.ts";

/** Most attempts of a delivery to an endpoint with retries. */
const attemptsMax = 5;

/** What was made before the faults begin. */
export interface Prepared {
  readonly features: Features;
  readonly env: Readonly<Record<string, string>>;
  readonly projects: readonly DrivenProject[];
  readonly endpoints: readonly Endpoint[];
}

class SetupError extends Error {}

/**
 * Starts `sendoff start` once, makes the projects and their endpoints through its API, and lets it drain. Finds out on
 * the way what the server has: settings that it does not know are left out, and so is what they would have tested.
 */
export async function prepare(
  command: string,
  folder: string,
  cluster: Cluster,
  sinkPort: number,
  options: Omit<FleetOptions, "env">,
  port: number,
): Promise<Prepared> {
  const dataFolder = join(folder, "data");
  const secretKey = randomBytes(32);
  const wanted: Record<string, string> = {
    ...baseEnvironment(),
    DATABASE_URL: cluster.url,
    HOST: "127.0.0.1",
    SENDOFF_DATA: dataFolder,
    SENDOFF_SECRET_KEY: secretKey.toString("base64"),
    SENDOFF_ALLOW_HTTP: "loopback",
    // Workers cannot know by themselves where the recordings are reached.
    SENDOFF_PUBLIC_URL: `http://127.0.0.1:${port}`,
    SENDOFF_LOG: "info",
    SENDOFF_CONVERSATION_GRACE: `${settings.conversationGraceMs}ms`,
    SENDOFF_CALL_GRACE: `${settings.callGraceMs}ms`,
    SENDOFF_SESSION_TIMEOUT: `${settings.sessionTimeoutMs}ms`,
    SENDOFF_EGRESS_DENY: `${forbiddenAddress}/32`,
  };
  const { member, env } = await startFirst(wanted, { ...options, env: wanted }, port);
  const client = createClient(10_000);
  try {
    const start = JSON.parse(await readFile(join(dataFolder, "start.json"), "utf8")) as {
      developerKey: string;
    };
    const url = `http://127.0.0.1:${port}`;
    const egress = "SENDOFF_EGRESS_DENY" in env;
    const maker = new Maker(client, url, start.developerKey, sinkPort);
    for (const behaviour of behaviours) await maker.make(behaviour);
    if (egress) await maker.makeForbidden(cluster);
    for (const { projectId } of maker.projects) {
      await writeAudio(join(dataFolder, "recordings", "projects", projectId, "audio.ogg"));
    }
    const endpoints = await Promise.all(maker.made.map((made) => withStored(made, cluster, secretKey)));
    const { stdout: help } = await promisify(execFile)(process.execPath, [command, "--help"]);
    const features: Features = {
      deadlines: "SENDOFF_CONVERSATION_GRACE" in env && "SENDOFF_SESSION_TIMEOUT" in env,
      retries: maker.retries,
      egress,
      roles: /^\s+worker\b/m.test(help),
    };
    return { features, env, projects: maker.projects, endpoints };
  } finally {
    client.close();
    await member.end(20_000);
  }
}

/** Only what a program needs to run: settings of the one who starts the rig must not change it. */
function baseEnvironment(): Record<string, string> {
  const kept = ["PATH", "HOME", "LD_LIBRARY_PATH", "TZ", "NODE_OPTIONS"];
  return Object.fromEntries(kept.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}

async function startFirst(
  wanted: Record<string, string>,
  options: FleetOptions,
  port: number,
): Promise<{ member: Member; env: Record<string, string> }> {
  let env = wanted;
  for (let round = 0; round < 2; round++) {
    const member = new Member(`prepare-${round}`, "all", port, { ...options, env });
    member.start();
    const deadline = await becomes(async () => {
      await member.look();
      return member.up || member.deaths.length > 0;
    }, startMaxMs);
    if (deadline && member.up) return { member, env };
    const output = await readFile(member.outputPath, "utf8");
    member.destroy();
    const unknown = [...output.matchAll(/(SENDOFF_\w+) is not a setting/g)].map((match) => match[1]);
    if (unknown.length === 0) throw new SetupError(`sendoff start did not begin to answer:\n${output}`);
    env = Object.fromEntries(Object.entries(env).filter(([name]) => !unknown.includes(name)));
  }
  throw new SetupError("sendoff start refuses its settings");
}

type Made = Omit<Endpoint, "endpointId" | "secret">;

class Maker {
  readonly projects: DrivenProject[] = [];
  readonly made: Made[] = [];
  retries = true;
  readonly #client: Client;
  readonly #url: string;
  readonly #key: string;
  readonly #sinkPort: number;

  constructor(client: Client, url: string, developerKey: string, sinkPort: number) {
    this.#client = client;
    this.#url = url;
    this.#key = developerKey;
    this.#sinkPort = sinkPort;
  }

  async make(behaviour: Behaviour): Promise<DrivenProject> {
    const project = await this.#project(behaviour.name);
    const webhook = (delivery: object): object => ({
      url: `http://127.0.0.1:${this.#sinkPort}/${behaviour.name}`,
      ...(behaviour.events === undefined ? {} : { events: behaviour.events }),
      delivery: { timeout: `${timeoutMs}ms`, ...delivery },
    });
    let attempts: number | null = null;
    if (behaviour.retries && this.retries) {
      const policy = { retries: { attempts: attemptsMax, window: "20s" } };
      if (await this.#point(project, webhook(policy), [422])) attempts = attemptsMax;
      else this.retries = false;
    }
    if (attempts === null) await this.#point(project, webhook({}), []);
    this.projects.push(project);
    this.made.push({
      project: project.projectId,
      path: `/${behaviour.name}`,
      events: behaviour.events ?? ["session.ended"],
      timeoutMs,
      attempts,
    });
    return project;
  }

  /** An endpoint that was allowed when it was saved and is forbidden when the attempt is made. */
  async makeForbidden(cluster: Cluster): Promise<void> {
    const project = await this.make({ name: "forbidden", events: allEvents, retries: false, reactions: [] });
    await cluster.query("UPDATE endpoints SET url = $2 WHERE project_id = $1 AND removed_at IS NULL", [
      project.projectId,
      `http://${forbiddenAddress}:${this.#sinkPort}/forbidden`,
    ]);
    const last = this.made.pop();
    if (last !== undefined) this.made.push({ ...last, path: null });
  }

  async #project(name: string): Promise<DrivenProject> {
    const answer = await this.#client.send("POST", `${this.#url}/v1/projects`, this.#key, { name });
    const data =
      answer.kind === "answer" ? (answer.body as { data?: { id?: string; key?: string } }).data : null;
    if (!data?.id || !data.key) throw new SetupError(`no project was made: ${JSON.stringify(answer)}`);
    return { projectId: data.id, key: data.key };
  }

  /** False when it was refused with one of the statuses that the caller expects. */
  async #point(project: DrivenProject, webhook: object, refusals: readonly number[]): Promise<boolean> {
    const url = `${this.#url}/v1/projects/${project.projectId}/agent`;
    const answer = await this.#client.send("PATCH", url, this.#key, { postSessionWebhook: webhook });
    if (answer.kind === "answer" && answer.status === 200) return true;
    if (answer.kind === "answer" && refusals.includes(answer.status)) return false;
    throw new SetupError(`an endpoint was not taken: ${JSON.stringify(answer)}`);
  }
}

async function withStored(made: Made, cluster: Cluster, key: Buffer): Promise<Endpoint> {
  const rows = await cluster.query<{ endpointId: string; sealed: string }>(
    `SELECT endpoint_id AS "endpointId", secret_sealed AS sealed FROM endpoints
     WHERE project_id = $1 AND removed_at IS NULL`,
    [made.project],
  );
  const row = rows[0];
  if (row === undefined || rows.length > 1) throw new SetupError(`${rows.length} endpoints in a project`);
  return { ...made, endpointId: row.endpointId, secret: unseal(row.sealed, key) };
}

/** Opens a JWE in its compact form (`dir`, A256GCM), without the server's code, which is under test. */
function unseal(sealed: string, key: Buffer): string {
  const [header = "", , iv = "", text = "", tag = ""] = sealed.split(".");
  const bytes = (part: string): Buffer => Buffer.from(part, "base64url");
  const decipher = createDecipheriv("aes-256-gcm", key, bytes(iv));
  decipher.setAAD(Buffer.from(header, "ascii")).setAuthTag(bytes(tag));
  return Buffer.concat([decipher.update(bytes(text)), decipher.final()]).toString("utf8");
}

async function writeAudio(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, "OggS");
}
