/** What a caller knows of a job beforehand, beside its size. */

import { Effects, type Feature } from "./learned/effects.js";
import { hash32 } from "./learned/history.js";
import type { Kind } from "./learned/kind.js";

/** How many features of one job count. */
const FEATURES_MAX = 4;

/** What is known of a job; made by `features`. */
export class Features {
  /** @internal */
  readonly list: readonly Feature[];

  /** @internal */
  constructor(values: Readonly<Record<string, string | number | boolean>>) {
    const named = Object.entries(values).map(([name, value]) =>
      typeof value === "number" && value > 0 && value < Infinity
        ? { key: hash32(name), ln: Math.fround(Math.log(value)) }
        : { key: hash32(`${name}=${value}`) },
    );
    this.list = named.slice(0, FEATURES_MAX);
  }

  /** @internal What a kind has learned of features. A bundle that names no features doesn't have it. */
  of(kind: Kind): Effects {
    return (kind.effects ??= new Effects(kind.others, kind.model.past, kind.noise));
  }
}

/**
 * What is known of a job before it runs and may bear on how long it takes: its model, its language, the number of its
 * steps. A text stands for itself, a number for an amount. The learned schedule finds out by how much each makes jobs
 * longer or shorter, and whether it does at all. Up to four count; tell the same of all jobs of a kind.
 *
 * ```ts
 * await job.wait({ features: features({ model: "sdxl", steps: 30 }) });
 * ```
 */
export const features = (values: Readonly<Record<string, string | number | boolean>>): Features => new Features(values);
