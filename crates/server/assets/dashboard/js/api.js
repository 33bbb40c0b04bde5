// Requests to the public interface. The dashboard has no other.

import { Cell } from './cell.js';
import { byTab } from './kept.js';

/** The interface lies beside the page, so that a proxy may serve both under a prefix. */
export const base = new URL('.', document.baseURI);
const KEY = 'abide.api-key';

/** The key that requests are sent with; `null` for none. It is kept by the tab alone and is gone when the tab closes. */
export const keyInUse = () => byTab.get(KEY);
/** Whether the server has asked for a key that it knows. */
export const keyWanted = new Cell(false);
/** Whether there is a key. */
export const keyHeld = new Cell(keyInUse() !== null);

/** Takes a key, or forgets it. */
export function setKey(key) {
  if (key) byTab.set(KEY, key);
  else byTab.remove(KEY);
  keyHeld.value = Boolean(key);
  keyWanted.value = false;
}

/** What the server said instead of an answer, or that it said nothing. `status` is 0 where it couldn't be reached. */
export class Problem extends Error {
  constructor(status, problem = {}) {
    super(problem.detail ?? problem.title ?? `The server answered ${status}.`);
    this.status = status;
    this.code = problem.code ?? null;
    this.requestId = problem.request_id ?? null;
  }
}

/** Sends a request and gives the response, whatever its status. */
export async function request(path, { method = 'GET', body, headers = {}, signal } = {}) {
  const out = new Headers(headers);
  const key = keyInUse();
  if (key && !out.has('authorization')) out.set('authorization', `Bearer ${key}`);
  if (body !== undefined) out.set('content-type', 'application/json');
  let response;
  try {
    response = await fetch(new URL(path.replace(/^\//, ''), base), {
      method,
      headers: out,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: 'no-store',
      redirect: 'error',
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, { title: 'The server can’t be reached. Is “abide serve” running?' });
  }
  if (response.status === 401) keyWanted.value = true;
  return response;
}

/** Sends a request and gives its JSON, or `null` without any; throws a `Problem` for anything but success. */
export async function call(path, options) {
  const response = await request(path, options);
  return (await read(response)).data;
}

/** Like `call`, for what a server may not have: gives `null` where it answers 404, 405 or 501. */
export async function optional(path, options) {
  try {
    return await call(path, options);
  } catch (error) {
    if (error instanceof Problem && [404, 405, 501].includes(error.status)) return null;
    throw error;
  }
}

/** Walks a list page by page: calls back with each page's JSON, until the last one or until it says `false`. */
export async function pages(path, onPage, options) {
  for (let next = path; next; ) {
    const response = await request(next, options);
    const { data, headers } = await read(response);
    if (onPage(data) === false) return;
    next = nextLink(headers.get('link'));
  }
}

/** A name for one logical create, so that sending it twice makes one job. */
export function idempotencyKey() {
  // Not `randomUUID`: a page that came over plain HTTP from another machine doesn't have it.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function read(response) {
  const { status, headers } = response;
  const text = await response.text();
  let data = null;
  try {
    if (text) data = JSON.parse(text);
  } catch {
    if (response.ok) throw new Problem(status, { title: 'The server’s answer is not JSON.' });
  }
  if (!response.ok) throw new Problem(status, data ?? undefined);
  return { data, headers };
}

function nextLink(link) {
  const found = link?.match(/<([^>]*)>\s*;[^,]*rel="?next"?/);
  if (!found) return null;
  const url = new URL(found[1], base);
  // Another host is never contacted, whatever the answer says.
  return url.origin === base.origin ? `${url.pathname.slice(base.pathname.length)}${url.search}` : null;
}
