// A value that tells who looks at it when it has changed. The whole of our state management.

import { useEffect, useReducer } from './html.js';

export class Cell {
  #value;
  #listeners = new Set();

  constructor(value) {
    this.#value = value;
  }

  get value() {
    return this.#value;
  }

  /** Takes a new value; the same one again tells nobody. */
  set value(value) {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const listener of [...this.#listeners]) listener(value);
  }

  /** Calls back on every change, until the function that it returns is called. */
  watch(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** The cell's value in a component, which is drawn again whenever it changes. */
export function useCell(cell) {
  const [, redraw] = useReducer((n) => n + 1, 0);
  const drawn = cell.value;
  useEffect(() => {
    const unwatch = cell.watch(redraw);
    // It may have changed between the drawing and this effect.
    if (!Object.is(drawn, cell.value)) redraw();
    return unwatch;
  }, [cell]);
  return drawn;
}
