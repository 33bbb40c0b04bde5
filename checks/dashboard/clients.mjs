// Clients that wait for a job in ways that are met in the wild, so that there is something to look at.

import { api } from './server.mjs';

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Reads at this interval, in milliseconds. */
export async function poll(base, id, agent, ms) {
  while (!(await api(base, 'GET', `/v1/jobs/${id}`, undefined, { agent })).done) await pause(ms);
}

/** Looks after pauses that double. */
export async function backOff(base, id, agent) {
  for (let ms = 200; !(await api(base, 'GET', `/v1/jobs/${id}`, undefined, { agent })).done; ms *= 2) await pause(ms);
}

/** Has the request held until the end. */
export async function hold(base, id, agent) {
  while (!(await api(base, 'GET', `/v1/jobs/${id}?wait=30`, undefined, { agent })).done);
}

/** All of them, on one job. */
export function everybody(base, id) {
  return Promise.all([
    poll(base, id, 'every-300ms/1.0', 300),
    backOff(base, id, 'doubling/1.0'),
    hold(base, id, 'held/1.0'),
  ]);
}
