/** Keeping what was learned: in files, in a browser's storage, or wherever texts can be kept. */

import { History } from "./history.js";
import type { Kind } from "./kind.js";
import { compact, fileName, linesOf, readKind } from "./record.js";

/** The size from which on a text is made as short as it can be, in bytes. */
export const COMPACT_BYTES: number = 48 * 1024;

/** A place for texts, one per kind of job, to which lines are added. */
export interface HistoryStore {
  /** All texts, those that were added to last at the end. */
  load(): string[] | Promise<string[]>;
  /** Adds lines to the text of that name. */
  append(name: string, lines: string): void | Promise<void>;
}

/** A history that is kept in a store. */
export class KeptHistory extends History {
  readonly #store: HistoryStore;

  /** @internal Use `openHistory`. */
  constructor(store: HistoryStore, texts: string[], now: number) {
    super();
    this.#store = store;
    for (const text of texts) {
      const [name, kind] = readKind(text, now) ?? [];
      if (kind) this.estimates(name!, () => kind);
    }
  }

  /**
   * Adds what was learned since the last call to the store, and says of how many kinds that was. Call it before the
   * program ends, and now and then in one that doesn't. What could not be written is tried again by the next call.
   */
  async save(): Promise<number> {
    let written = 0;
    for (const [name, kind] of [...this.kinds]) {
      const lines = linesOf(kind, name, Math.floor(Date.now() / 1000));
      if (lines === undefined) continue;
      const { unsaved, version } = kind;
      await this.#store.append(fileName(name), lines);
      kind.saved = version;
      kind.unsaved = kind.unsaved.filter((job) => !unsaved.includes(job));
      written++;
    }
    return written;
  }

  protected override mayForget(kind: Kind): boolean {
    return kind.saved === kind.version;
  }
}

/** Reads what a store has kept, or begins a history there. What can't be understood is ignored. */
export const openHistory = async (store: HistoryStore): Promise<KeptHistory> =>
  new KeptHistory(store, await store.load(), Date.now() / 1000);

/** Keeps a history in a browser's `localStorage`, or anything like it. */
export const localStorageStore = (storage: Storage = localStorage, prefix = "abide:"): HistoryStore => ({
  load: () =>
    Object.keys(storage)
      .filter((key) => key.startsWith(prefix))
      .map((key) => storage.getItem(key) ?? ""),
  append(name, lines) {
    const text = (storage.getItem(prefix + name) ?? "") + lines;
    storage.setItem(prefix + name, text.length > COMPACT_BYTES ? compact(text) : text);
  },
});
