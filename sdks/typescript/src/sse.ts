/**
 * Server-sent events: the decoder and the open stream.
 *
 * The decoder is our own because the waits need what `EventSource` hides: comments, which are the heartbeats that a
 * watchdog lives on, headers, and a bound on how much one event may make us remember.
 */

import { Garbled, Unreachable } from "./error.js";
import { type Call, JOB_BYTES_MAX, send } from "./exchange.js";
import { Failure, tooSlow } from "./failure.js";
import type { Origin } from "./origin.js";
import { AWAKE, LATE, before } from "./rt/clock.js";

/** How long to wait before reconnecting where the server says nothing, and the bounds of what it may say, in ms. */
const RETRY = 1000,
  RETRY_MIN = 100,
  RETRY_MAX = 60_000;

/** What came over a stream: an event, or a sign of life that is none. */
export type Item = { event: string; data: string; id: string | undefined } | "alive";

/** Decodes a stream, however it is cut into parts. */
export class Decoder {
  readonly #decoder: TextDecoder = new TextDecoder();
  #rest = "";
  /** Whether a carriage return came last: a line feed right after it belongs to it. */
  #returned = false;
  #event = "";
  #data: string[] = [];
  #size = 0;
  #id: string | undefined;
  /** How long the server wants us to stay away after the stream has ended, in ms. */
  retry: number = RETRY;

  /** Takes in the next part; returns what was decoded. */
  push(part: Uint8Array): Item[] {
    const items: Item[] = [];
    let text = this.#decoder.decode(part, { stream: true });
    if (this.#returned && text) {
      this.#returned = false;
      text = text.replace(/^\n/, "");
    }
    // What came before has no end of a line, and isn't looked through again.
    const ends = /\r\n|\n|\r/g;
    let begin = 0;
    for (let end; (end = ends.exec(text));) {
      const line = this.#rest + text.slice(begin, end.index);
      this.#rest = "";
      begin = ends.lastIndex;
      this.#returned = end[0] === "\r" && begin === text.length;
      if (line) this.#line(line);
      else items.push(...this.#dispatch());
    }
    this.#rest += text.slice(begin);
    if (this.#size + this.#rest.length > JOB_BYTES_MAX) {
      throw new Failure(Garbled, `an event has more than ${JOB_BYTES_MAX} bytes`);
    }
    return items;
  }

  #line(line: string): void {
    const [, field, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line)!;
    if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value || undefined;
    else if (field === "retry" && /^\d+$/.test(value)) this.retry = Math.min(Math.max(+value, RETRY_MIN), RETRY_MAX);
    else if (field === "data") {
      this.#data.push(value);
      this.#size += value.length + 1;
    }
  }

  #dispatch(): Item[] {
    const event = this.#event || "message",
      data = this.#data;
    this.#event = "";
    this.#data = [];
    this.#size = 0;
    return data.length ? [{ event, data: data.join("\n"), id: this.#id }] : [];
  }
}

/**
 * What came of opening a stream: it is open, there will be no more events (`over`), there is none (`absent`), or there
 * are already enough that this wait does better without (`crowded`).
 */
export type Opened = Events | "over" | "absent" | "crowded";

/**
 * Opens a stream within `limit`, resumed after that id. `release` is called when it is closed, or couldn't be opened.
 */
export const openEvents = async (
  origin: Origin,
  url: string,
  after: string | undefined,
  limit: number,
  signal: AbortSignal | undefined,
  release: () => void = () => {},
): Promise<Opened> => {
  const own = new AbortController(),
    call: Call = { url, headers: { accept: "text/event-stream" } };
  if (after !== undefined) call.headers!["last-event-id"] = after;
  let opened: Opened | undefined,
    handed = false;
  const open = async (): Promise<Opened> => {
    const { body, headers, status } = await send(origin, call, own.signal);
    // Nobody waits for it any more, and an answer that has come isn't ended by its signal everywhere.
    if (own.signal.aborted) body?.cancel().catch(() => {});
    own.signal.throwIfAborted();
    const stream = headers.get("content-type")?.trim().startsWith("text/event-stream");
    return (opened = status === 204 ? "over" : stream && body ? new Events(body, own, release) : "absent");
  };
  try {
    const limited = (signal: AbortSignal): Promise<Opened> => {
      signal.addEventListener("abort", () => opened ?? own.abort(signal.reason));
      return open();
    };
    const answer = await before(origin.clock, origin.clock.now() + limit, signal, limited, AWAKE);
    if (answer === LATE) throw tooSlow(limit);
    handed = answer instanceof Events;
    return answer;
  } finally {
    if (!handed && opened instanceof Events) opened.close();
    else if (!handed) {
      own.abort(LATE);
      release();
    }
  }
};

/** An open stream. */
export class Events {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #own: AbortController;
  readonly #release: () => void;
  readonly #decoder: Decoder = new Decoder();
  readonly #ready: Item[] = [];
  /** A read that nobody has taken the answer of. */
  #reading: Promise<Item | undefined> | undefined;

  constructor(body: ReadableStream<Uint8Array>, own: AbortController, release: () => void) {
    this.#reader = body.getReader();
    this.#own = own;
    this.#release = release;
  }

  /** How long the server wants us to stay away after the stream has ended, in ms. */
  get retry(): number {
    return this.#decoder.retry;
  }

  /** The next item; none when the server has closed the stream. Nothing is lost when the signal ends the waiting. */
  async next(signal: AbortSignal): Promise<Item | undefined> {
    const item = this.#ready.shift();
    if (item) return item;
    this.#reading ??= this.#read();
    const read = await this.#reading;
    if (!signal.aborted) this.#reading = undefined;
    return read;
  }

  async #read(): Promise<Item | undefined> {
    try {
      const { done, value } = await this.#reader.read();
      if (done) return undefined;
      this.#ready.push(...this.#decoder.push(value));
      return this.#ready.shift() ?? "alive";
    } catch (cause) {
      throw cause instanceof Failure ? cause : new Failure(Unreachable, "the stream broke off", { cause });
    }
  }

  close(): void {
    // A read in flight ends with it, and nobody waits for that.
    this.#reading?.catch(() => {});
    this.#own.abort(LATE);
    this.#reader.cancel().catch(() => {});
    this.#release();
  }
}
