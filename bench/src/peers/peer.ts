// What is compared: other ways to do the same job. A report comes over HTTP and is answered 2xx when it is durable in the
// queue; a worker in another process POSTs it, signed as Standard Webhooks says, and logs the outcome in PostgreSQL.
// No lanes, no deadlines, no checks of addresses, no leases: a peer does less than Sendoff.

/** One webhook to deliver, as it is queued. */
export interface Job {
  readonly webhookId: string;
  readonly sessionId: string;
  readonly url: string;
  /** What is POSTed, as text. */
  readonly body: string;
}

/** Where a peer's processes find what they need. */
export interface PeerSite {
  readonly peer: PeerName;
  readonly databaseUrl: string;
  /** Socket of the Redis; null for peers without one. */
  readonly redisSocket: string | null;
  /** Receivers by the project that a report names. */
  readonly urls: Readonly<Record<string, string>>;
  /** What a report must bring as its bearer. */
  readonly key: string;
  /** The API gathers the reports that come while others are being added, and adds them by one call of the queue's. */
  readonly gathers: boolean;
}

export type PeerName = "naive" | "bullmq" | "pg-boss" | "graphile-worker";
export type Role = "api" | "worker";

/** How reports get into a queue. Both resolve when they are durable. */
export interface Queue {
  add(job: Job): Promise<unknown>;
  /** By the queue's own call for many. */
  addMany?(jobs: readonly Job[]): Promise<unknown>;
}

export interface Peer {
  /** How it is tuned, as the table prints it. */
  readonly settings: string;
  openQueue(site: PeerSite): Promise<Queue>;
  /** Works until the process ends. */
  startWorker(site: PeerSite): Promise<void>;
}

/** What a benchmark tells a peer's process, once. */
export interface ToPeer {
  readonly role: Role;
  readonly site: PeerSite;
}

/** What it answers when it is ready. */
export interface FromPeer {
  /** Of an API; null of a worker. */
  readonly origin: string | null;
  readonly settings: string;
}
