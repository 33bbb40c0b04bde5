// The changes that a job has seen, for its timeline: from the log of looks where the server puts them there, else from the job's own
// events, replayed once; what comes later is taken from the feed.

import { request } from '../api.js';
import { useEffect, useState } from '../html.js';
import { onEvent } from '../jobs.js';
import { Parser } from '../parser.js';

const REPLAY_MAX_MS = 5000;

/** The changes `{at, revision, status, stage}` of a job, oldest first. `logged` is what the log told, `null` until it was read. */
export function useHistory(path, job, logged) {
  const [changes, setChanges] = useState([]);
  const id = job?.id;
  const isNeeded = job !== null && logged !== null && logged.length === 0;
  useEffect(() => {
    if (!isNeeded) return undefined;
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), REPLAY_MAX_MS);
    replay(path, job.revision, over.signal).then((found) => setChanges((known) => merge(known, found)));
    const unwatch = onEvent((_, other) => {
      if (other.id === id) setChanges((known) => merge(known, [changeOf(other)]));
    });
    return () => {
      clearTimeout(timer);
      over.abort();
      unwatch();
    };
  }, [path, isNeeded]);
  return logged?.length > 0 ? logged : changes;
}

const changeOf = (job) => ({ at: job.updated_at, revision: job.revision, status: job.status, stage: job.progress?.stage ?? null });

function merge(known, found) {
  const all = new Map([...known, ...found].map((change) => [change.revision, change]));
  return [...all.values()].sort((a, b) => a.revision - b.revision);
}

async function replay(path, upTo, signal) {
  const changes = [];
  try {
    const headers = { accept: 'text/event-stream', 'last-event-id': '0' };
    const response = await request(`${path}/events`, { headers, signal });
    if (response.status !== 200 || !response.body) return changes;
    const parser = new Parser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return changes;
      for (const { data } of parser.push(value)) {
        const job = JSON.parse(data);
        changes.push(changeOf(job));
        if (job.revision >= upTo) {
          await reader.cancel();
          return changes;
        }
      }
    }
  } catch {
    // A timeline without its stages is still a timeline.
    return changes;
  }
}
