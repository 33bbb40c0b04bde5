// What the dashboard computes, apart from any browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';

const assets = process.env.ASSETS;
const { Parser } = await import(`${assets}/js/parser.js`);
const { lanesOf, scaleOf, stretchesOf, summaryOf, ticksOf } = await import(`${assets}/js/pages/looks.js`);
const { matcher, sorted } = await import(`${assets}/js/find.js`);
const { amount, shortId, span } = await import(`${assets}/js/format.js`);

const STREAM = ': hello\r\nretry: 500\r\n\r\nid: 1\nevent: job.created\ndata: {"a":\ndata: 1}\n\ndata: plain\rid: 2\r\revent: lost\n\n';
const EVENTS = [
  { id: '1', event: 'job.created', data: '{"a":\n1}' },
  { id: '2', event: 'message', data: 'plain' },
];

test('a stream that is cut anywhere gives the same events', () => {
  for (let cut = 0; cut <= STREAM.length; cut += 1) {
    const parser = new Parser();
    const events = [...parser.push(STREAM.slice(0, cut)), ...parser.push(STREAM.slice(cut))];
    assert.deepEqual(events, EVENTS, `cut at ${cut}`);
  }
  const parser = new Parser();
  assert.deepEqual([...STREAM].flatMap((letter) => parser.push(letter)), EVENTS);
});

test('an event without an end is refused before it fills the memory', () => {
  const parser = new Parser();
  assert.throws(() => {
    for (let n = 0; n < 10; n += 1) parser.push('x'.repeat(1_000_000));
  });
});

const at = (ms) => new Date(Date.UTC(2026, 10, 22) + ms).toISOString();

test('looks tell waste and lateness per client', () => {
  const looks = [
    { at: at(1000), channel: 'poll', client: 'curl', revision: 2, news: true },
    { at: at(2000), channel: 'poll', client: 'curl', revision: 2, news: false },
    { at: at(6000), channel: 'poll', client: 'curl', revision: 3, news: true },
    { at: at(5004), channel: 'long_poll', client: 'abide', revision: 3, news: true, held_ms: 5000 },
  ];
  const lanes = lanesOf(looks, at(5000));
  assert.deepEqual(
    lanes.map(({ channel, wasted, late }) => ({ channel, wasted, late })),
    [
      { channel: 'poll', wasted: 1, late: 1000 },
      { channel: 'long_poll', wasted: 0, late: 4 },
    ],
  );
  assert.deepEqual(summaryOf(lanes), { looks: 4, wasted: 1, late: 4 });
});

test('a job’s life is cut into its stages, without holes', () => {
  const job = { created_at: at(0), started_at: at(10), finished_at: at(100) };
  const changes = [
    { at: at(0), revision: 1, status: 'pending', stage: null },
    { at: at(10), revision: 2, status: 'running', stage: 'a' },
    { at: at(40), revision: 3, status: 'running', stage: 'b' },
    { at: at(100), revision: 4, status: 'completed', stage: null },
  ];
  const stretches = stretchesOf(job, changes, Date.parse(at(500)));
  assert.deepEqual(
    stretches.map(({ name, from, to }) => [name, from - Date.parse(at(0)), to - Date.parse(at(0))]),
    [
      ['pending', 0, 10],
      ['a', 10, 40],
      ['b', 40, 100],
    ],
  );
});

test('what came after the end is drawn larger than life, and nothing outside the drawing', () => {
  const [created, end] = [0, 20_000];
  const scale = scaleOf({ created, end, now: 30_000, looks: [{ at: 20_004 }], forecast: null, width: 1000 });
  assert.ok(scale.after !== null);
  assert.ok(scale.x(20_004) - scale.x(20_001) > 50, 'three milliseconds can be seen');
  for (const instant of [-5, 0, 10_000, 20_000, 20_001, 20_004, 99_999]) {
    const x = scale.x(instant);
    assert.ok(x >= 0 && x <= 1000, `${instant} lies at ${x}`);
  }
});

test('axes have round ticks, not too many', () => {
  for (const length of [1, 7, 60, 999, 4000, 61_000, 3_600_000, 270_000_000]) {
    const ticks = ticksOf(length, 6);
    assert.ok(ticks.length >= 1 && ticks.length <= 8, `${length}: ${ticks}`);
  }
});

test('numbers are written for people', () => {
  const table = [
    [span(0), '0 ms'],
    [span(340), '340 ms'],
    [span(12_340), '12.3 s'],
    [span(200_000), '3 min 20 s'],
    [span(18_180_000), '5 h 3 min'],
    [span(187_200_000), '2 d 4 h'],
    [span(null), '–'],
    [amount(0.05), '0.05'],
    [amount(1.64), '1.6'],
    [amount(1234.5), '1,235'],
    [shortId('job_01a20106ca997128b4cc300bb530fc32'), 'job_…0bb530fc32'],
    [shortId('job_1'), 'job_1'],
  ];
  for (const [is, must] of table) assert.equal(is, must);
});

test('a job is found by the ends of its id, its metadata, its kind and its age', () => {
  const job = {
    id: 'job_01a22065ca3b7d44b000cac756ddb00c',
    kind: 'dub',
    status: 'running',
    metadata: { User: '42', note: 'a=b' },
    created_at: at(0),
  };
  const now = Date.parse(at(600_000));
  for (const [filter, expected] of [
    [{}, true],
    [{ text: 'user=42' }, true],
    [{ text: 'user=4' }, true],
    [{ text: 'user=2' }, false],
    [{ text: 'note=a=b' }, true],
    [{ text: '42' }, true],
    [{ text: 'c756ddb00c' }, true],
    [{ text: '01A22065' }, true],
    [{ text: '00c' }, false],
    [{ kind: 'dub', status: 'running', since: '1h' }, true],
    [{ since: '5m' }, false],
    [{ kind: 'sub' }, false],
  ]) {
    assert.equal(matcher(filter, now)(job), expected, JSON.stringify(filter));
  }
});

test('jobs are sorted by what they have, and those without it come last', () => {
  const job = (id, percent, p50) => ({ id, created_at: at(0), progress: { percent }, remaining_ms: p50 && { p50 }, done: false });
  const jobs = [job('c', 10, 500), job('b', 90, null), job('a', 50, 100)];
  const ids = (order) => sorted(jobs, order, Date.parse(at(1))).map(({ id }) => id).join('');
  assert.deepEqual(['', 'created', '-progress', 'progress', 'left', 'nonsense'].map(ids), ['cba', 'abc', 'bac', 'cab', 'acb', 'cba']);
});
