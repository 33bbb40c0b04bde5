// Event streams as the HTML standard has them, from text to events. Knows no network.

/** The most text of one event. */
const EVENT_CHARS_MAX = 4_000_000;

/** Cuts a stream of text into events `{id, event, data}`, as the HTML standard has it. */
export class Parser {
  #rest = '';
  #id = null;
  #event = '';
  #data = null;

  /** Takes what has come and gives the events that are now whole. */
  push(text) {
    this.#rest += text;
    if (this.#rest.length > EVENT_CHARS_MAX) throw new Error('an event is too long');
    const events = [];
    for (let line; (line = this.#line()) !== null; ) {
      if (line === '') {
        if (this.#data !== null) events.push({ id: this.#id, event: this.#event || 'message', data: this.#data });
        this.#event = '';
        this.#data = null;
        continue;
      }
      const colon = line.indexOf(':');
      if (colon === 0) continue;
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (name === 'data') this.#data = this.#data === null ? value : `${this.#data}\n${value}`;
      else if (name === 'event') this.#event = value;
      else if (name === 'id' && !value.includes('\0')) this.#id = value;
    }
    return events;
  }

  #line() {
    const end = this.#rest.search(/[\r\n]/);
    if (end < 0) return null;
    let next = end + 1;
    if (this.#rest[end] === '\r') {
      // The line feed that may belong to it hasn't come yet.
      if (next === this.#rest.length) return null;
      if (this.#rest[next] === '\n') next += 1;
    }
    const line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(next);
    return line;
  }
}
