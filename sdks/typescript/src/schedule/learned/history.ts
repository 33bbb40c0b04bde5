/** What a process has learned, one learner per kind. */

import { MARK } from "./hint.js";
import { Kind } from "./kind.js";

/** How many kinds a history holds; the one that was used longest ago makes room. */
const KINDS_MAX = 1024;

/** The same where none may make room, because what was learned of them can't be saved. */
const UNSAVED_MAX = 4 * KINDS_MAX;

/** The prior's median where nothing at all is known, in seconds. */
const PRIOR_MEDIAN = 15;

/**
 * How long jobs took, by kind: what the learned schedule learns from and adds to. Every wait of a process should use
 * the same. It lives in memory; `openHistory` makes one that is kept.
 */
export class History {
  /** The kinds, the one that was used last at the end. */
  protected readonly kinds: Map<string, Kind> = new Map();

  /** How many jobs a kind remembers; 0 for a kind that was never seen. */
  jobs(kind: string): number {
    return this.kinds.get(kind)?.model.past.ended.length ?? 0;
  }

  /** @internal The learner of the durations of a kind, told what to expect in seconds. */
  durations(name: string, expected?: number): Kind {
    const kind = this.estimates(name, () => Kind.ofDurations(expected ?? this.#siblings() ?? PRIOR_MEDIAN));
    if (expected) kind.expect(expected);
    return kind;
  }

  /** @internal The learner of that name, made if there is none. */
  estimates(name: string, make: () => Kind): Kind {
    const kind = this.kinds.get(name) ?? make();
    this.kinds.delete(name);
    if (this.kinds.size >= KINDS_MAX) {
      for (const [name, kind] of this.kinds) {
        if (this.kinds.size < UNSAVED_MAX && !this.mayForget(kind)) continue;
        this.kinds.delete(name);
        break;
      }
    }
    this.kinds.set(name, kind);
    return kind;
  }

  /** Whether a kind may make room. */
  protected mayForget(_: Kind): boolean {
    return true;
  }

  /** The median of what the other kinds took, as a first guess for a new one. */
  #siblings(): number | undefined {
    const medians = [...this.kinds].flatMap(([name, kind]) =>
      name.includes(MARK) ? [] : (kind.model.medianSeen() ?? []),
    );
    return medians.sort((a, b) => a - b)[medians.length >> 1];
  }
}

/** The FNV-1a hash of a text in 32 bits. */
export const hash32 = (text: string): number => {
  const name = hash(text);
  return Number(BigInt.asUintN(32, name ^ (name >> 32n)));
};

/** The FNV-1a hash of 64 bits, as every client has it. */
export const hash = (text: string): bigint => {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
};
