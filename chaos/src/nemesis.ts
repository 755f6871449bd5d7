import type { Cluster } from "./cluster.ts";
import { type Card, deal, shortestMs } from "./deck.ts";
import type { Fault, FaultTarget, Move, MoveName } from "./history.ts";
import type { Journal } from "./journal.ts";
import { becomes, msNs, nowNs, sleep, tickMs } from "./monotonic.ts";
import { makeMove } from "./moves.ts";
import type { PostgresPart } from "./postgres.ts";
import type { Fleet, Member } from "./processes.ts";
import type { Random } from "./random.ts";
import type { Sink } from "./sink-process.ts";

/** How the nemesis shares out its faults. */
export interface NemesisOptions {
  readonly cluster: Cluster;
  readonly fleet: Fleet;
  readonly sink: Sink;
  readonly journal: Journal<Fault>;
  readonly moveJournal: Journal<Move>;
  readonly random: Random;
  /** When the faults end; infinite: when all moves are made. */
  readonly endNs: number;
  /** Called when there are no more moves to make. */
  readonly onMoved: () => void;
  readonly killsPerSecond: number;
  /** Stops per minute; four of five are longer than the lease. */
  readonly stopsPerMinute: number;
  /** The lease of a claim. */
  readonly leaseMs: number;
  /** Weights of who is killed. */
  readonly weights: Readonly<Record<FaultTarget, number>>;
  /** Which processes of PostgreSQL are killed, by weight. */
  readonly postgresParts: ReadonlyArray<readonly [part: PostgresPart, weight: number]>;
  /** The moves by name, once each; null: the decks of deck.ts. */
  readonly moves: readonly MoveName[] | null;
}

/** Share of the kills that do not wait until the system works again. */
const recoveringShare = 0.25;
/** Longest wait for a system that works, in milliseconds. */
const servingMaxMs = 2_500;
/**
 * Share of the moves that are made while nothing else is broken, so that it can be judged how long the system took to go on:
 * other faults wait from before the move until so long after it.
 */
const undisturbedShare = 0.75;
const judgedMs = 3_500;
/** Longest wait for the other faults to be over, in milliseconds. */
const calmMaxMs = 6_000;
/** Longest wait for a PostgreSQL that somebody else has stopped or killed. */
const wellMaxMs = 15_000;
/** Between two moves it is the others' turn. */
const betweenMoves = [2_000, 6_000] as const;

/** Breaks things until the signal, and then puts right what it has broken. */
export async function rage(options: NemesisOptions, until: AbortSignal): Promise<void> {
  const nemesis = new Nemesis(options);
  await Promise.all([
    nemesis.killAround(until),
    nemesis.stopAround(until),
    nemesis.moveAround(until).finally(options.onMoved),
  ]);
}

class Nemesis {
  readonly #options: NemesisOptions;
  readonly #kills: Random;
  readonly #stops: Random;
  readonly #moves: Random;
  /** Other faults wait while a move is to be judged. */
  #calm = false;
  #stopsUnderWay = 0;

  constructor(options: NemesisOptions) {
    this.#options = options;
    this.#kills = options.random.fork("kills");
    this.#stops = options.random.fork("stops");
    this.#moves = options.random.fork("moves");
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
      await this.#whileCalm(until);
      if (!until.aborted) this.#killOne(anyhow);
    }
  }

  /** Waits until requests are taken and deliveries made, and a random while longer. */
  async #untilServing(until: AbortSignal): Promise<void> {
    const { cluster, fleet } = this.#options;
    const endNs = nowNs() + servingMaxMs * msNs;
    while (!until.aborted && nowNs() < endNs && !(cluster.isUp && fleet.serves())) await pause(20, until);
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
      await this.#whileCalm(until);
      if (until.aborted) continue;
      this.#stopsUnderWay += 1;
      void this.#stopOne(until).finally(() => {
        this.#stopsUnderWay -= 1;
      });
    }
    // What is stopped now goes on at once: the signal has ended its pause.
    await sleep(50);
  }

  /** One move of PostgreSQL after the other, with room between them. */
  async moveAround(until: AbortSignal): Promise<void> {
    const { leaseMs, moves, endNs, cluster } = this.#options;
    if (moves?.length === 0) return;
    for (const card of deal(this.#moves, leaseMs, moves)) {
      await pause(this.#moves.int(...betweenMoves), until);
      if (card.name === "full-disk" && cluster.disk === null) continue;
      // Those that are asked for by name are all judged.
      const undisturbed = moves !== null || this.#moves.chance(undisturbedShare);
      const leftMs = (endNs - nowNs()) / msNs - judgedMs - (undisturbed ? calmMaxMs : 0);
      if (until.aborted) return;
      // Another may be short enough, and at the end none is.
      if (leftMs < Math.min(card.ms, shortestMs(card, leaseMs))) {
        if (leftMs < 0) return;
        continue;
      }
      await this.#moveOne({ ...card, ms: Math.min(card.ms, leftMs) }, undisturbed, until);
    }
  }

  async #moveOne(card: Card, undisturbed: boolean, until: AbortSignal): Promise<void> {
    const { cluster, fleet, moveJournal } = this.#options;
    if (!(await becomes(() => until.aborted || cluster.take(), wellMaxMs)) || until.aborted) return;
    try {
      const move = await makeMove(card, {
        ...{ cluster, random: this.#moves, ms: Math.round(card.ms) },
        pause: (ms) => pause(ms, until),
        isOver: () => until.aborted,
        ready: async () => {
          this.#calm = undisturbed;
          const isCalm = (): boolean => this.#stopsUnderWay === 0 && fleet.allUp();
          if (undisturbed) await becomes(() => until.aborted || isCalm(), calmMaxMs);
        },
      });
      if (move !== null) moveJournal.write(move);
      // In small steps, which a busy machine makes longer, as it does what is judged.
      for (let ms = 0; undisturbed && ms < judgedMs; ms += tickMs) await pause(tickMs, until);
    } finally {
      this.#calm = false;
      cluster.giveBack();
    }
  }

  async #whileCalm(until: AbortSignal): Promise<void> {
    while (this.#calm && !until.aborted) await pause(20, until);
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
