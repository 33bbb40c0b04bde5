// Event streams over `fetch`: an `EventSource` can't send an API key, and doesn't notice a stream that has fallen silent.

import { request } from './api.js';
import { Parser } from './parser.js';

/** The server sends a comment every 15 s; a stream that is silent for three of them is dead. */
const SILENCE_MAX = 45_000;
const BACKOFF_MIN = 500;
const BACKOFF_MAX = 5_000;

/**
 * Follows a stream until it is told to stop: resumes after a cut, with growing pauses where the server can't be reached.
 *
 * `onState` hears `connecting`, `open`, `waiting` (to try again), `ended` and `refused` (for want of a key), and with `open` whether it goes on from the event before
 * the cut; `onEvent` hears `{id, event, data}`. Returns the function that stops it.
 */
export function follow(path, { lastId = null, onEvent, onState = () => {} }) {
  const stopped = new AbortController();
  let wake = () => {};
  const nudge = () => wake();
  addEventListener('online', nudge);
  document.addEventListener('visibilitychange', nudge);
  stopped.signal.addEventListener('abort', () => {
    removeEventListener('online', nudge);
    document.removeEventListener('visibilitychange', nudge);
    wake();
  });

  const sleep = (ms) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  async function once() {
    const connection = new AbortController();
    const stop = () => connection.abort();
    stopped.signal.addEventListener('abort', stop);
    let dog = setTimeout(stop, SILENCE_MAX);
    try {
      const headers = { accept: 'text/event-stream' };
      if (lastId !== null) headers['last-event-id'] = lastId;
      const response = await request(path, { headers, signal: connection.signal });
      if (response.status === 204 || response.status === 404 || response.status === 410) return 'ended';
      if (response.status === 401 || response.status === 403) return 'refused';
      if (!response.ok || !response.body) throw new Error(`the stream answered ${response.status}`);
      onState('open', lastId !== null);
      const parser = new Parser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return 'cut';
        clearTimeout(dog);
        dog = setTimeout(stop, SILENCE_MAX);
        for (const event of parser.push(value)) {
          if (event.id !== null) lastId = event.id;
          onEvent(event);
        }
      }
    } finally {
      clearTimeout(dog);
      stopped.signal.removeEventListener('abort', stop);
      connection.abort();
    }
  }

  async function run() {
    let pause = BACKOFF_MIN;
    while (!stopped.signal.aborted) {
      onState('connecting');
      const began = performance.now();
      try {
        const how = await once();
        if (how === 'ended' || how === 'refused') {
          onState(how);
          return;
        }
      } catch {
        // Why it was cut doesn't matter: it is resumed, and the state says that it was.
      }
      if (stopped.signal.aborted) return;
      onState('waiting');
      if (performance.now() - began > 10_000) pause = BACKOFF_MIN;
      await sleep(pause * (0.5 + Math.random()));
      pause = Math.min(pause * 2, BACKOFF_MAX);
    }
  }

  run();
  return () => stopped.abort();
}
