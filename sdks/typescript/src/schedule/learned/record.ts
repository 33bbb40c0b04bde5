/**
 * The form in which a kind is kept: a log of lines in JSON, to which every process adds its own. Clients in other
 * languages read and write the same.
 *
 * Two sorts of line: an object with what the kind believes beside its durations, of which the latest counts, and an
 * array per observation. A line that can't be understood is no line. Two more where jobs have features, arrays of four
 * that `effects.ts` reads: an effect, and a job with its features.
 *
 *     {"version":2,"kind":"translate","saved_at":1700000000,"prior":{"median":15.0,"scale":1.0},"ln_price":-0.693,…}
 *     [1700000000,3735928559,18.5,20.25,0.0]
 *
 * An observation is `[second, key, after, at_most, ln_size]`; `at_most` is null for a job that was given up.
 */

import { FIRST_WEIGHTS, priorOf } from "./experts.js";
import { real, round, sum } from "./grid.js";
import { hash } from "./history.js";
import { Kind } from "./kind.js";
import { Model } from "./model.js";
import { type Observation, RING, inOrder, isCensored } from "./ring.js";

/** The version of the form. A reader ignores every other. */
const VERSION = 2;

/** The age beyond which only the newer half of a history counts, in seconds: a week. */
const STALE_S = 7 * 24 * 3600;

/** The longest name that is written. */
const NAME_BYTES_MAX = 200;

/** The least median that is written, in seconds: a prior without a length would be none. */
const MEDIAN_MIN = 1e-3;

/** How every name ends. */
const ENDING = ".jsonl";

/** The lines of a kind, each as it is written. */
export interface Lines {
  beliefs: string;
  jobs: Observation[];
  others?: readonly string[] | undefined;
}

/** How many lines are kept that aren't read. */
const OTHERS_MAX = 128;

/** What a kind believes beside its durations, as a line. */
const beliefsOf = (kind: Kind, name: string, now: number): string => {
  const {
      memory,
      model: { fixedSlope, prior, weights },
    } = kind,
    noise = kind.effects ? kind.effects.noise : kind.noise;
  const list = (numbers: readonly number[]): string => `[${numbers.map(real).join(",")}]`;
  const fields: Record<string, string | undefined> = {
    version: String(VERSION),
    kind: JSON.stringify(name),
    saved_at: String(now),
    prior: `{"median":${real(Math.max(round(Math.exp(prior.lnMedian)), MEDIAN_MIN))},"scale":${real(round(prior.scale))}}`,
    slope: fixedSlope === undefined ? undefined : real(fixedSlope),
    reference: memory.reference === undefined ? undefined : real(memory.reference),
    ln_price: real(round(memory.lnPrice)),
    pushes: list([round(memory.lost), round(memory.pushes)]),
    silent: real(round(memory.silent)),
    advantage: real(round(memory.advantage)),
    weights: list(weights.map((weight) => round(weight, 1e6))),
    noise: noise === undefined ? undefined : real(noise),
  };
  return `{${Object.entries(fields)
    .flatMap(([name, text]) => (text === undefined ? [] : `"${name}":${text}`))
    .join(",")}}`;
};

/** Lines as a text, each after the end of a line that may have been torn. */
export const written = ({ beliefs, jobs, others = [] }: Lines): string => {
  const lines = jobs.map((job) => {
    const atMost = isCensored(job) ? "null" : real(round(job.atMost));
    return `[${job.second},${job.key},${real(round(job.after))},${atMost},${real(round(job.lnSize))}]\n`;
  });
  return `\n${beliefs}\n${lines.join("")}${others.map((line) => `${line}\n`).join("")}`;
};

/** What to add for a kind of that name since it was last saved; none where nothing was learned. */
export const linesOf = (kind: Kind, name: string, now: number): string | undefined => {
  if (kind.saved === kind.version) return undefined;
  const jobs = kind.model.past.ended.filter((job) => kind.unsaved.includes(job));
  return written({ beliefs: beliefsOf(kind, name, now), jobs, others: kind.effects?.lines(jobs) });
};

const parsed = (line: string): any => {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
};

/** Reads a text, if it is about a kind. */
export const readLines = (text: string): Lines | undefined => {
  let beliefs: string | undefined;
  const jobs = new Map<string, Observation>();
  const others = new Map<string, string>();
  for (const line of text.split("\n")) {
    const said = parsed(line);
    if (Array.isArray(said) && said.length === 4) {
      const name = typeof said[3] === "number" ? `${said[0]}` : `${said[0]} ${said[1]}`;
      others.delete(name);
      others.set(name, line);
    } else if (Array.isArray(said)) {
      const [second, key, after, atMost, lnSize] = said,
        u32 = (number: unknown): boolean => (number as number) >>> 0 === number;
      if (said.length !== 5 || !u32(second) || !u32(key) || !(after >= 0) || !(Math.abs(lnSize) < 100)) continue;
      if (typeof after !== "number" || (atMost !== null && !(atMost >= after))) continue;
      // The newest line about a job counts.
      jobs.set(`${second} ${key}`, {
        second,
        key,
        after: Math.fround(after),
        atMost: Math.fround(atMost ?? Infinity),
        lnSize: Math.fround(lnSize),
      });
    } else if (isSound(said)) {
      beliefs = line;
    }
  }
  if (beliefs === undefined) return undefined;
  return {
    beliefs,
    jobs: [...jobs.values()].sort(inOrder).slice(-RING),
    others: [...others.values()].slice(-OTHERS_MAX),
  };
};

const isSound = (said: any): boolean => {
  const positive = (number: unknown): boolean => typeof number === "number" && number > 0 && number < Infinity;
  const [lost, pushes] = said?.pushes ?? [],
    weights: unknown = said?.weights;
  return (
    said?.version === VERSION &&
    typeof said.kind === "string" &&
    said.saved_at >= 0 &&
    positive(said.prior?.median) &&
    positive(said.prior.scale) &&
    Number.isFinite(said.slope ?? 0) &&
    positive(said.reference ?? 1) &&
    Math.abs(said.ln_price) < 20 &&
    lost >= 0 &&
    pushes >= lost &&
    pushes < Infinity &&
    said.silent >= 0 &&
    said.silent <= 1 &&
    Number.isFinite(said.advantage) &&
    Array.isArray(weights) &&
    weights.length === FIRST_WEIGHTS.length &&
    weights.every((weight) => weight >= 0 && weight <= 1) &&
    Math.abs(sum(weights) - 1) < 1e-3
  );
};

/** The learner that a text describes as of `now` (seconds since 1970), and its name. */
export const readKind = (text: string, now: number): [name: string, kind: Kind] | undefined => {
  const lines = readLines(text);
  if (!lines) return undefined;
  const {
    advantage,
    kind: name,
    ln_price,
    noise,
    prior,
    pushes,
    reference,
    saved_at,
    silent,
    slope,
    weights,
  } = JSON.parse(lines.beliefs);
  const stale = now - saved_at > STALE_S,
    jobs = stale ? lines.jobs.slice(lines.jobs.length >> 1) : lines.jobs;
  const model = new Model(priorOf(prior.median, prior.scale), slope, jobs, weights);
  const kind = new Kind(model, {
    reference,
    lnPrice: ln_price,
    lost: pushes[0],
    pushes: pushes[1],
    silent,
    advantage,
  });
  kind.others = lines.others ?? [];
  kind.noise = noise > 0 && noise < Infinity ? noise : undefined;
  return [name, kind];
};

/** The shortest text that says the same; the text itself where it isn't about a kind. */
export const compact = (text: string): string => {
  const lines = readLines(text);
  return lines ? written(lines) : text;
};

/**
 * The name of a kind's file: small letters, digits, `-` and `_` stand for themselves, everything else for its bytes in
 * hex. What is too long ends in `~` and the hash of the whole name instead.
 */
export const fileName = (kind: string): string => {
  let name = "";
  for (const byte of new TextEncoder().encode(kind)) {
    const letter = String.fromCharCode(byte);
    name += /[a-z0-9_-]/.test(letter) ? letter : `%${byte.toString(16).padStart(2, "0")}`;
  }
  if (name.length + ENDING.length > NAME_BYTES_MAX) {
    name = `${name.slice(0, NAME_BYTES_MAX - ENDING.length - 17)}~${hash(kind).toString(16).padStart(16, "0")}`;
  }
  return name + ENDING;
};
