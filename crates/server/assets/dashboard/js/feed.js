// The feed of all jobs, once for a browser and not once for each of its tabs: over HTTP/1.1 a browser has six connections per host, and a
// stream holds one.
//
// The tabs elect a leader by a lock. It holds the stream and passes each event on by a broadcast channel. When it closes or hides, the lock
// goes to the next tab, which resumes from the last event that it was passed. Tabs with other keys have locks of their own. Where the browser
// has no locks (a page of plain HTTP from another machine) each tab has a stream.

import { base, keyInUse, keyWanted } from './api.js';
import { Cell } from './cell.js';
import { follow } from './sse.js';

/** A hidden tab gives the stream back after this time. */
const HIDDEN_MAX = 60_000;

/** How the feed is: `connecting`, `open`, `waiting` (to try again), `refused` (for want of a key). */
export const connection = new Cell('connecting');
/** When the connection was lost, by `performance.now()`; `null` while there is one, and before the first. */
export const lostAt = new Cell(null);
/** How often the connection has come back. What was read before that may be old. */
export const returns = new Cell(0);

/**
 * Follows the feed until the function that it returns is called. `onOpen` hears whether events may have been missed; `onEvent` hears
 * `{id, event, data}`.
 */
export function feed(path, { onEvent, onOpen }) {
  const over = new AbortController();
  let channel = null;
  let isLeader = false;
  let lastId = null;
  let wasOpen = false;

  function take(message) {
    if (message.hello) {
      if (isLeader) channel.postMessage({ state: connection.value, isResumed: true });
    } else if (message.state) {
      arrive(message.state, message.isResumed);
    } else {
      if (message.id !== null) lastId = message.id;
      onEvent(message);
    }
  }

  function arrive(state, isResumed) {
    // The leader answers every tab that comes; the others know it already.
    if (state === connection.value && wasOpen) return;
    connection.value = state;
    if (state === 'waiting') lostAt.value ??= performance.now();
    if (state === 'refused') keyWanted.value = true;
    if (state !== 'open') return;
    lostAt.value = null;
    onOpen(!isResumed || !wasOpen);
    if (wasOpen) returns.value += 1;
    wasOpen = true;
  }

  function tell(message) {
    channel?.postMessage(message);
    take(message);
  }

  /** Holds the stream until it is told to stop. */
  function lead(signal) {
    return new Promise((resolve) => {
      isLeader = true;
      const stop = follow(path, {
        lastId,
        onEvent: tell,
        onState: (state, isResumed) => tell({ state, isResumed }),
      });
      signal.addEventListener('abort', () => {
        stop();
        isLeader = false;
        resolve();
      });
    });
  }

  /** Stands for election while the tab is seen, and for a while after. */
  function stand(start) {
    let standing = null;
    let timer = 0;
    const look = () => {
      clearTimeout(timer);
      if (document.hidden) {
        timer = setTimeout(() => {
          standing?.abort();
          standing = null;
        }, HIDDEN_MAX);
      } else if (standing === null) {
        standing = new AbortController();
        start(standing.signal);
      }
    };
    look();
    document.addEventListener('visibilitychange', look);
    over.signal.addEventListener('abort', () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', look);
      standing?.abort();
    });
  }

  async function share() {
    const name = await nameOf(keyInUse());
    if (over.signal.aborted) return;
    channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }) => take(data);
    over.signal.addEventListener('abort', () => channel.close());
    stand((signal) => {
      channel.postMessage({ hello: true });
      navigator.locks
        .request(name, { signal }, () => lead(signal))
        .catch((error) => {
          if (error.name !== 'AbortError') throw error;
        });
    });
  }

  connection.value = 'connecting';
  lostAt.value = null;
  if (navigator.locks && globalThis.BroadcastChannel && crypto.subtle) share();
  else stand(lead);
  return () => over.abort();
}

/** The name of lock and channel: of this server, and of this key, which it doesn't give away. */
async function nameOf(key) {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(key ?? ''));
  const hex = [...new Uint8Array(digest, 0, 8)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return `abide ${base.pathname} ${hex}`;
}
