// `pollUntil` over fetch, for _waits.py: each line of standard input has jobs by the URLs of their status, and the
// headers to ask with. A line is answered once they have ended.
import { createInterface } from 'node:readline';
import { pollUntil } from '../../sdks/typescript/dist/index.js';

for await (const line of createInterface({ input: process.stdin })) {
  const { kind, urls, headers } = JSON.parse(line);
  const wait = (url) => pollUntil(async ({ signal }) => (await fetch(url, { headers, signal })).json(), { kind, timeout: '10m' });
  await Promise.all(urls.map(wait));
  console.log('ended');
}
