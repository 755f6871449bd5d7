// Ranges of addresses as IANA's registries have them, as plain numbers: a second opinion that shares no code with the
// server's, neither for reading nor for comparing.

type Range = readonly [from: bigint, to: bigint];

/** A range from its first address, as groups of a number, and its prefix. */
const range = (groups: readonly number[], prefix: number, groupBits: number, width: number): Range => {
  const full = width / groupBits;
  let from = 0n;
  for (let n = 0; n < full; n++) from = (from << BigInt(groupBits)) | BigInt(groups[n] ?? 0);
  return [from, from + (1n << BigInt(width - prefix)) - 1n];
};
const v4 = (a: number, b: number, c: number, prefix: number): Range => range([a, b, c, 0], prefix, 8, 32);
const v6 = (groups: readonly number[], prefix: number): Range => range(groups, prefix, 16, 128);

export const closedV4: readonly Range[] = [
  v4(0, 0, 0, 8),
  v4(10, 0, 0, 8),
  v4(100, 64, 0, 10),
  v4(127, 0, 0, 8),
  v4(169, 254, 0, 16),
  v4(172, 16, 0, 12),
  v4(192, 0, 0, 24),
  v4(192, 0, 2, 24),
  v4(192, 31, 196, 24),
  v4(192, 52, 193, 24),
  v4(192, 88, 99, 24),
  v4(192, 168, 0, 16),
  v4(192, 175, 48, 24),
  v4(198, 18, 0, 15),
  v4(198, 51, 100, 24),
  v4(203, 0, 113, 24),
  v4(224, 0, 0, 4),
  v4(240, 0, 0, 4),
];

/** Of IPv6 only this has been given out. */
export const openV6: readonly Range[] = [v6([0x2000], 3)];

export const closedV6: readonly Range[] = [
  v6([0], 8),
  v6([0x64, 0xff9b], 96),
  v6([0x100], 64),
  v6([0x2001], 23),
  v6([0x2001, 0xdb8], 32),
  v6([0x2002], 16),
  v6([0x2620, 0x4f, 0x8000], 48),
  v6([0x3fff], 20),
  v6([0x5f00], 16),
  v6([0xfc00], 7),
  v6([0xfe80], 10),
  v6([0xfec0], 10),
  v6([0xff00], 8),
];

export const textOfV4 = (value: bigint): string =>
  [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");

/** One of the spellings of an IPv6 address. */
export function textOfV6(value: bigint, random: (below: number) => number): string {
  const groups = Array.from({ length: 8 }, (_, n) => (value >> BigInt(112 - 16 * n)) & 0xffffn);
  const texts = groups.map((group) => group.toString(16).padStart(random(4) === 0 ? 4 : 1, "0"));
  const last = random(6) === 0 ? [textOfV4(value & 0xffff_ffffn)] : texts.slice(6);
  const all = [...texts.slice(0, 6), ...last];
  const zeros = groups.findIndex((group, n) => n < 5 && group === 0n && groups[n + 1] === 0n);
  const spelled =
    zeros >= 0 && random(2) === 0
      ? `${all.slice(0, zeros).join(":")}::${all.slice(zeros + 2).join(":")}`
      : all.join(":");
  return random(4) === 0 ? spelled.toUpperCase() : spelled;
}
