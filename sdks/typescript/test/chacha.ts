/**
 * The generator that the traces' plans were drawn from: ChaCha with 8 rounds, seeded by 64 bits as Rust's `rand` does
 * it.
 */

const rotate = (x: number, by: number): number => ((x << by) | (x >>> (32 - by))) >>> 0;

/** 32 bytes from 64 bits, by the generator that `rand` uses for it. */
const expand = (seed: bigint): Uint32Array => {
  let state = seed;
  return Uint32Array.from({ length: 8 }, () => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 11634580027462260723n);
    const shifted = Number(BigInt.asUintN(32, ((state >> 18n) ^ state) >> 27n));
    return rotate(shifted, 32 - Number(state >> 59n) || 0);
  });
};

const block = (key: Uint32Array, counter: number): Uint32Array => {
  const start = Uint32Array.of(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, ...key, counter, 0, 0, 0),
    x = start.slice();
  const quarter = (a: number, b: number, c: number, d: number): void => {
    for (const [to, from, over, by] of [
      [a, b, d, 16],
      [c, d, b, 12],
      [a, b, d, 8],
      [c, d, b, 7],
    ] as const) {
      x[to] = x[to]! + x[from]!;
      x[over] = rotate(x[over]! ^ x[to]!, by);
    }
  };
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 4; i++) quarter(i, 4 + i, 8 + i, 12 + i);
    for (let i = 0; i < 4; i++) quarter(i, 4 + ((i + 1) % 4), 8 + ((i + 2) % 4), 12 + ((i + 3) % 4));
  }
  return x.map((word, i) => word + start[i]!);
};

/** A share of the upper 53 of 64 bits. */
export const share = (bits: bigint): number => Number(bits >> 11n) / 2 ** 53;

/** Numbers of 64 bits, from a seed. */
export const chacha = (seed: bigint): (() => bigint) => {
  const key = expand(seed);
  let counter = 0,
    words: number[] = [];
  return () => {
    if (!words.length) words = [...block(key, counter++)];
    const [low, high] = words.splice(0, 2);
    return (BigInt(high!) << 32n) | BigInt(low!);
  };
};
