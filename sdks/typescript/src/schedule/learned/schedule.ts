/** The learned schedule as a value. */

import { type Duration, millis } from "../../rt/duration.js";
import type { Cursor, Schedule } from "../cursor.js";
import { PAUSE_MIN } from "../pacer.js";
import type { Seen, Start } from "../seen.js";
import { clamp } from "./grid.js";
import { History } from "./history.js";
import { Walk } from "./walk.js";

/** The price of a request under each setting of the dial, in milliseconds of delay. */
const PRICES = { eager: 100, balanced: 500, frugal: 2000 } as const;

/**
 * The least and the greatest price, in seconds: below, polls follow each other at the least interval; beyond, a plan is
 * one poll.
 */
const PRICE_MIN = 1e-4,
  PRICE_MAX = 1e4;

/** How much earlier news is worth: a word, or how much delay a request is worth. */
export type Price = keyof typeof PRICES | Duration;

/** What `learned` may be told. */
export interface LearnedOptions {
  /** What is learned from and added to. Default: the client's, else one of the schedule's own. */
  history?: History | undefined;
  /** How much earlier news is worth. Default: `"balanced"`, half a second a request. */
  price?: Price | undefined;
  /** How many requests a job may take on average; one price per kind follows the polls spent. Instead of a price. */
  budget?: number;
  /** How big the job is, in any unit that is the same within one kind: the expectation scales with it. */
  size?: number | undefined;
  /** What to expect before any job of this kind was seen. Default: what other kinds took, else 15 s. */
  expectAbout?: Duration;
  /** The size of a job that takes about as long as expected. Default: the size of the first job seen. */
  typicalSize?: number;
  /** The share of a pause by which a poll may be moved, 0 to 0.5. Default: 0.25, which costs less than one percent. */
  jitter?: number;
  /** The least interval between two polls. Default: 250 ms. */
  min?: Duration;
  /** The greatest interval between two polls. Default: none; 30 s costs up to 5 %, 10 s up to 26 %. */
  max?: Duration;
}

/** The options in the units of the mathematics. */
export interface Settings {
  kind: string;
  /** In seconds; none where a budget is kept. */
  price: number | undefined;
  budget: number;
  size: number | undefined;
  /** In seconds. */
  expected: number | undefined;
  typicalSize: number | undefined;
  jitter: number;
  /** In seconds. */
  least: number;
  greatest: number;
}

const positive = (number: number | undefined): number | undefined =>
  number! > 0 && number! < Infinity ? number : undefined;

/**
 * Polls when it is worth it, by what earlier jobs of the same kind took: near the best that any polling client can do.
 * A kind is the endpoint, the type of job and whatever else changes the speed.
 */
export class Learned implements Schedule {
  /** @internal */
  readonly settings: Settings;
  readonly #history: History | undefined;
  /** What is learned where neither the caller nor the client has a history. */
  readonly #own: History = new History();

  constructor(kind: string, options: LearnedOptions = {}) {
    const price = options.price ?? "balanced",
      least = Math.max(millis(options.min ?? 250), PAUSE_MIN) / 1000;
    const wanted = millis(typeof price === "string" && price in PRICES ? PRICES[price as "eager"] : price) / 1000;
    this.#history = options.history;
    this.settings = {
      // What isn't a text, in a program without types, must not get among the names of a history.
      kind: String(kind),
      price: options.budget ? undefined : clamp(wanted, PRICE_MIN, PRICE_MAX),
      // A budget below one poll can't be kept: the poll that sees the end is one.
      budget: clamp(options.budget ?? 1, 1, 1e6),
      size: positive(options.size),
      expected: positive(millis(options.expectAbout ?? 0) / 1000),
      typicalSize: positive(options.typicalSize),
      jitter: clamp(options.jitter ?? 0.25, 0, 0.5),
      least,
      greatest: Math.max(millis(options.max ?? Infinity) / 1000, least),
    };
  }

  begin(start: Start): Cursor {
    return this.#walk(start).follow();
  }

  /**
   * The polls that would be sent now if every answer were "not yet", in milliseconds since acceptance, without end.
   * Looking learns nothing.
   */
  *preview(start: Start, rtt = 100): Generator<number, void> {
    const walk = this.#walk(start),
      seen: Seen = { elapsed: rtt / 2, rtt, polls: 0 };
    for (;;) {
      const at = walk.next(seen);
      yield at;
      seen.elapsed = at + rtt;
      seen.polls++;
    }
  }

  #walk(start: Start): Walk {
    return new Walk(this.settings, this.#history ?? start.history ?? this.#own, start);
  }
}

/** The learned schedule of a kind of job. */
export const learned = (kind: string, options?: LearnedOptions): Learned => new Learned(kind, options);
