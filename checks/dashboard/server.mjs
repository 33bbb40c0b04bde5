// The server's interface, for what the test does beside the browser.

const LANES = 16;

/** A request, by `key` and in the name of `agent` where they are given; gives its JSON, `null` for 404, and throws for any other failure. */
export async function api(base, method, path, body, { key, agent } = {}) {
  const response = await fetch(base + path, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...(key ? { authorization: `Bearer ${key}` } : {}), ...(agent ? { 'user-agent': agent } : {}) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  if (response.status === 404) return null;
  if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text}`);
  return text ? JSON.parse(text) : null;
}

/** Creates that number of jobs, the n-th with what `bodyOf(n)` says. */
export async function createMany(base, many, bodyOf) {
  let next = 0;
  async function lane() {
    while (next < many) {
      const n = next;
      next += 1;
      await api(base, 'POST', '/v1/jobs', bodyOf(n));
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane));
}

/** Waits until something is true. */
export async function untilTrue(what, isTrue, patience = 30_000) {
  const end = Date.now() + patience;
  while (!(await isTrue())) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
