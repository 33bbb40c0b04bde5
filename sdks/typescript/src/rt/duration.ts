/** Spans of time as callers write them. */

import { UsageError } from "../error.js";

/** A span of time: milliseconds, or a text such as `"500ms"`, `"30s"`, `"10m"`, `"1.5h"`, `"2d"`. */
export type Duration = number | string;

const UNITS: Record<string, number> = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5 };

/** A span of time in milliseconds. */
export const millis = (duration: Duration): number => {
  const [, number, unit] = /^([\d.]+) *(ms|[smhd])$/.exec(String(duration)) ?? [];
  const span = typeof duration === "number" ? duration : Number(number) * UNITS[unit!]!;
  if (span >= 0) return span;
  throw new UsageError(
    `${JSON.stringify(duration)} is not a span of time: write milliseconds, or a text such as "30s"`,
  );
};
