/**
 * The axis of durations: bins of equal width in ln u.
 *
 * A bin is 1 % wide. Everything shorter than the first edge falls into the first bin, everything longer into the last.
 */

/** How many bins there are. */
export const BINS = 1536;

/** The lower edge of the first bin, in seconds. */
export const FIRST = 0.1;

/** The width of a bin in ln u. */
export const STEP = 0.01;

/** A probability per bin. */
export type Law = Float64Array;

const LN_FIRST: number = /* @__PURE__ */ Math.log(FIRST);

/** The edges in seconds: bin `i` lies between `EDGES[i]` and `EDGES[i + 1]`; the last is about five days. */
export const EDGES: Law = /* @__PURE__ */ Float64Array.from({ length: BINS + 1 }, (_, i) => FIRST * Math.exp(STEP * i));

/** Bounds a number. */
export const clamp = (x: number, low: number, high: number): number => (x < low ? low : x > high ? high : x);

/** To so small a part of one; a thousandth is a tenth of the finest bin, and few digits. */
export const round = (number: number, digits = 1e3): number => Math.round(number * digits) / digits;

/** A number as all clients write it. */
export const real = (number: number): string => (Number.isInteger(number) ? number.toFixed(1) : String(number));

/** The middle of bin `i` in ln seconds. */
export const lnMiddle = (i: number): number => LN_FIRST + STEP * (i + 0.5);

/** Where ln seconds lies on the axis, in bins from the first edge; not clamped. */
export const position = (ln: number): number => (ln - LN_FIRST) / STEP;

/** The bin that holds ln seconds; the first or the last if it lies outside. */
export const bin = (ln: number): number => clamp(Math.floor(position(ln)), 0, BINS - 1);

/** A law made bin by bin. */
export const lawOf = (mass: (i: number) => number): Law => new Float64Array(BINS).map((_, i) => mass(i));

/** The sum of numbers. */
export const sum = (numbers: ArrayLike<number>): number => {
  let total = 0;
  for (let i = 0; i < numbers.length; i++) total += numbers[i]!;
  return total;
};

/** Student's t density of `freedom` degrees around `center`, on the grid. */
export const student = (freedom: number, center: number, scale: number): Law => {
  const inverse = 1 / (scale * scale * freedom);
  return normalize(
    lawOf((i) => {
      const distance = lnMiddle(i) - center;
      return Math.exp(-0.5 * (freedom + 1) * Math.log(1 + distance * distance * inverse));
    }),
  );
};

/** A law scaled so that it sums to 1; a law of nothing stays nothing. */
export const normalize = (law: Law): Law => {
  const total = sum(law);
  return total > 0 ? law.map((mass) => mass / total) : law;
};

/** Moves a law by a number of bins towards longer durations; what leaves the grid stays in its outer bin. */
export const shift = (law: Law, bins: number): Law => {
  const moved = new Float64Array(BINS);
  // Beyond the whole width of the grid every shift is the same.
  const by = clamp(bins, -BINS, BINS),
    whole = Math.floor(by),
    share = by - whole;
  law.forEach((mass, i) => {
    moved[clamp(i + whole, 0, BINS - 1)]! += mass * (1 - share);
    moved[clamp(i + whole + 1, 0, BINS - 1)]! += mass * share;
  });
  return moved;
};
