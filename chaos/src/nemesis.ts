import type { Cluster, PostgresPart } from "./cluster.ts";
import type { Fault, FaultTarget } from "./history.ts";
import type { Journal } from "./journal.ts";
import { msNs, nowNs, sleep } from "./monotonic.ts";
import type { Fleet, Member } from "./processes.ts";
import type { Random } from "./random.ts";
import type { Sink } from "./sink-process.ts";

/** How the nemesis shares out its faults. */
export interface NemesisOptions {
  readonly cluster: Cluster;
  readonly fleet: Fleet;
  readonly sink: Sink;
  readonly journal: Journal<Fault>;
  readonly random: Random;
  readonly killsPerSecond: number;
  /** Stops per minute; four of five are longer than the lease. */
  readonly stopsPerMinute: number;
  /** The lease of a claim. */
  readonly leaseMs: number;
  /** Weights of who is killed. */
  readonly weights: Readonly<Record<FaultTarget, number>>;
  /** Which processes of PostgreSQL are killed, by weight. */
  readonly postgresParts: ReadonlyArray<readonly [part: PostgresPart, weight: number]>;
}

/** Share of the kills that do not wait until the system works again. */
const recoveringShare = 0.25;
/** Longest wait for a system that works, in milliseconds. */
const servingMaxMs = 2_500;

/** Breaks things until the signal, and then puts right what it has broken. */
export async function rage(options: NemesisOptions, until: AbortSignal): Promise<void> {
  const nemesis = new Nemesis(options);
  await Promise.all([nemesis.killAround(until), nemesis.stopAround(until)]);
}

class Nemesis {
  readonly #options: NemesisOptions;
  readonly #kills: Random;
  readonly #stops: Random;

  constructor(options: NemesisOptions) {
    this.#options = options;
    this.#kills = options.random.fork("kills");
    this.#stops = options.random.fork("stops");
  }

  async killAround(until: AbortSignal): Promise<void> {
    const { killsPerSecond } = this.#options;
    if (killsPerSecond === 0) return;
    let dueNs = nowNs();
    while (!until.aborted) {
      // Debts are kept: after a slow recovery kills come closer together.
      dueNs += this.#gapMs(this.#kills, 1_000 / killsPerSecond) * msNs;
      await pause((dueNs - nowNs()) / msNs, until);
      // Most faults hit a system that works, some one that is just recovering; all of the latter would prove nothing.
      const anyhow = this.#kills.chance(recoveringShare);
      if (!anyhow) await this.#untilServing(until);
      // Half of the moments are any, half are such that something is lost: an attempt is under way.
      if (this.#kills.chance(0.5)) await this.#untilInFlight(until);
      if (!until.aborted) this.#killOne(anyhow);
    }
  }

  /** Waits until requests are taken and deliveries made, and a random while longer. */
  async #untilServing(until: AbortSignal): Promise<void> {
    const { cluster, fleet } = this.#options;
    const endNs = nowNs() + servingMaxMs * msNs;
    while (!until.aborted && nowNs() < endNs && !(cluster.isUp() && fleet.serves())) await pause(20, until);
    await pause(this.#kills.int(0, 500), until);
  }

  async #untilInFlight(until: AbortSignal): Promise<void> {
    const endNs = nowNs() + 400 * msNs;
    while (!until.aborted && nowNs() < endNs && this.#options.sink.view().open().length === 0) {
      await pause(5, until);
    }
  }

  async stopAround(until: AbortSignal): Promise<void> {
    const { stopsPerMinute } = this.#options;
    if (stopsPerMinute === 0) return;
    while (!until.aborted) {
      await pause(this.#gapMs(this.#stops, 60_000 / stopsPerMinute), until);
      // Not awaited: while one is stopped, another may be.
      await this.#untilServing(until);
      if (!until.aborted) void this.#stopOne(until);
    }
    // What is stopped now goes on at once: the signal has ended its pause.
    await sleep(50);
  }

  #gapMs(random: Random, meanMs: number): number {
    return meanMs * (0.3 + 1.4 * random.next());
  }

  /** Kills what the dice say; when that is down already, another. */
  #killOne(starting: boolean): void {
    const { weights } = this.#options;
    const first = this.#kills.weighted(Object.entries(weights) as Array<[FaultTarget, number]>);
    const order = [first, ...(["worker", "api", "postgres"] as const).filter((target) => target !== first)];
    order.some(
      (target) =>
        weights[target] > 0 &&
        (target === "postgres" ? this.#killPostgres() : this.#killMember(target, starting)),
    );
  }

  #killPostgres(): boolean {
    const { cluster, postgresParts } = this.#options;
    const part = this.#kills.weighted(postgresParts);
    const inFlight = this.#inFlight();
    if (!cluster.kill(part)) return false;
    this.#log("kill", "postgres", part, "postgres", null, inFlight);
    return true;
  }

  #killMember(target: "api" | "worker", starting: boolean): boolean {
    const candidates = this.#members(target)
      .filter((member) => member.up || starting)
      .flatMap((member) => member.parts().map((part) => ({ member, ...part })));
    if (candidates.length === 0) return false;
    // Mostly the child that does the work: a parent's death costs the machine twice the start and shows less.
    const { member, part, id } = this.#kills.weighted(
      candidates.map((candidate) => [candidate, candidate.part === "child" ? 3 : 1] as const),
    );
    const inFlight = this.#inFlight();
    if (!member.kill(part, id)) return false;
    this.#log("kill", target, part, member.name, null, inFlight);
    return true;
  }

  async #stopOne(until: AbortSignal): Promise<void> {
    const random = this.#stops;
    const { leaseMs, weights, cluster } = this.#options;
    const long = random.chance(0.8);
    const stopMs = long ? leaseMs + random.int(800, 3_000) : random.int(100, 2_000);
    const target = random.weighted([
      ["worker" as const, weights.worker * 2],
      ["api" as const, weights.api],
      ["postgres" as const, weights.postgres * 0.5],
    ]);
    if (target === "postgres") {
      const part = random.pick(["postmaster", "all"] as const);
      const inFlight = this.#inFlight();
      if (!cluster.stop(part)) return;
      this.#log("stop", "postgres", part, "postgres", stopMs, inFlight);
      await pause(stopMs, until);
      cluster.continue();
      this.#log("continue", "postgres", part, "postgres", null, []);
      return;
    }
    const candidates = this.#members(target).filter((member) => member.up);
    if (candidates.length === 0) return;
    const member = random.pick(candidates);
    const parts = member.parts();
    if (parts.length === 0) return;
    // The children do the work; the parent is stopped now and then, to see that it is not needed for a while.
    const children = parts.filter(({ part }) => part === "child");
    const victim = children.length > 0 && random.chance(0.8) ? random.pick(children) : random.pick(parts);
    const inFlight = this.#inFlight();
    if (!member.stop(victim.id)) return;
    this.#log("stop", target, victim.part, member.name, stopMs, inFlight);
    await pause(stopMs, until);
    const went = member.continue();
    this.#log(
      "continue",
      target,
      went ? victim.part : `${victim.part}, ended meanwhile`,
      member.name,
      null,
      [],
    );
  }

  #members(target: "api" | "worker"): Member[] {
    return this.#options.fleet.members.filter(({ role }) => role === "all" || role === target);
  }

  #inFlight(): string[] {
    return this.#options.sink
      .view()
      .open()
      .map((request) => `${request.session} ${request.event}`);
  }

  #log(
    kind: Fault["kind"],
    target: FaultTarget,
    part: string,
    member: string,
    stopMs: number | null,
    inFlight: readonly string[],
  ): void {
    this.#options.journal.write({ ns: nowNs(), kind, target, part, member, stopMs, inFlight });
  }
}

/** Waits, but not beyond the signal. */
function pause(ms: number, until: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (until.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      until.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    until.addEventListener("abort", done);
  });
}
