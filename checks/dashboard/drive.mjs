// The dashboard as a person uses it. Usage: node drive.mjs URL URL-WITH-KEY URL-FOR-MANY DIR-FOR-PICTURES
//
// Each step prints a line. The first thing that isn't as it must be ends the run with exit code 1.

import assert from 'node:assert/strict';

import { Key } from 'selenium-webdriver';

import { Browser } from './browser.mjs';
import { everybody } from './clients.mjs';
import { Door } from './door.mjs';
import { Receiver } from './receiver.mjs';
import { api, createMany, untilTrue } from './server.mjs';

const [base, keyed, full, images] = process.argv.slice(2);
const API_KEY = 'a-key-for-the-test-of-it';
const began = Date.now();
const step = (text) => console.log(`${((Date.now() - began) / 1000).toFixed(1).padStart(6)} s  ${text}`);

// Ten thousand jobs take their time, and nobody has to wait for it yet.
const filled = createMany(full, 10_000, () => ({ kind: 'many', simulate: { duration: { fixed: '1h' } } }));
// Where that fails while something else is waited for, it is said when it is waited for itself.
filled.catch(() => {});
const receiver = await Receiver.start();
const door = await Door.start(base);
const browsers = [];
let browser;

try {
  browser = await another(base);
  await createAndWatch();
  await openByKeyboard();
  await cancelByKeyboard();
  await changeErrorChance();
  await retryDelivery();
  await lookAtReport();
  await searchAndSort();
  await readShortcuts();
  await openVendorsJob();
  await leaveBrokenEndpointAlone();
  await openNineTabs(await another(base));
  await furnish();
  await Promise.all([takePictures(browser), checkAccessibility(await another(base)), filled.then(async () => scrollTenThousand(await another(full)))]);
  for (const one of browsers) await one.assertQuiet();
  step('no error in the console, and no other host was asked for anything');
  await loseTheServer(await another(door.url));
  await enterKeyAndMoveClock();
} catch (error) {
  for (const [n, one] of browsers.entries()) await one.picture(`failure-${n}`).catch(() => {});
  console.error(error);
  process.exitCode = 1;
} finally {
  await Promise.all(browsers.map((one) => one.stop()));
  await receiver.stop();
  await door.stop();
}

/** One more browser, at that server's first page. */
async function another(at) {
  const one = await Browser.start(at, images);
  browsers.push(one);
  return one;
}

/** A job is created by keyboard alone, and its end is seen without a reload. */
async function createAndWatch() {
  await browser.open('#/');
  await browser.see('New job');
  // A reload would lose it.
  await browser.run('window.hasNotReloaded = true');
  await browser.tabTo((element) => element.tag === 'BUTTON' && element.text === 'New job');
  await browser.press(Key.ENTER);
  await browser.see('How long it runs');
  await browser.tabTo((element) => element.id === 'create-kind');
  await browser.type('dubbing');
  await browser.tabTo((element) => element.id === 'create-duration');
  await browser.type('4s');
  await browser.tabTo((element) => element.id === 'create-chance');
  await browser.type('0');
  await browser.press(Key.ENTER);
  let id;
  await untilTrue('the job is created', async () => (id = (await api(base, 'GET', '/v1/jobs?kind=dubbing')).jobs[0]?.id));
  await browser.until('it is in the list and at work', `[id="row-${id}"] .badge.running, [id="row-${id}"] .badge.pending`);
  await browser.until('its end comes by itself', `[id="row-${id}"] .badge.completed`);
  assert.equal(await browser.run('return window.hasNotReloaded'), true);
  step('a job was created by keyboard and ended before our eyes, without a reload');
}

/** The list is walked by keyboard, and a job opened; its page shows the looks that others took at it. */
async function openByKeyboard() {
  const { id } = await api(base, 'POST', '/v1/jobs', { kind: 'dubbing', simulate: { duration: { fixed: '4s' }, outcome: { error_chance: 0 } } });
  const looking = everybody(base, id);
  await browser.until('the new job is in the list', `[id="row-${id}"]`);
  await browser.tabTo((element) => element.role === 'grid');
  await browser.press(Key.ARROW_DOWN);
  assert.equal(await browser.run('return document.activeElement.getAttribute("aria-activedescendant")'), `row-${id}`);
  await browser.press(Key.ENTER);
  await browser.until('the timeline is drawn', '.timeline svg');
  assert.equal(await browser.run('return document.activeElement.tagName'), 'H1');
  await browser.until('the end is seen on the page', 'header .badge.completed');
  await looking;
  if ((await api(base, 'GET', `/v1/jobs/${id}/looks`)) === null) {
    await browser.see('keeps no log of looks');
    step('a job was opened by keyboard; this server keeps no log of looks');
    return;
  }
  await browser.until('looks are drawn', '.timeline path.tick.waste[d*="M"]');
  await browser.until('so is the one that saw the end', '.timeline path.tick.completed');
  step('a job was opened by keyboard; its timeline shows every look and how late the end was seen');
}

async function cancelByKeyboard() {
  const { id } = await api(base, 'POST', '/v1/jobs', { simulate: { duration: { fixed: '1h' } } });
  await browser.open('#/');
  await browser.until('the new job is in the list', `[id="row-${id}"]`);
  await browser.tabTo((element) => element.role === 'grid');
  await browser.press(Key.ARROW_DOWN, Key.DELETE);
  await browser.until('it is canceled', `[id="row-${id}"] .badge.canceled`);
  step('a job was canceled by keyboard');
}

/** The error chance is set to 100 % by keyboard, and the next job fails. */
async function changeErrorChance() {
  if ((await api(base, 'GET', '/v1/simulator')) === null) {
    await browser.open('#/simulator');
    await browser.see('can’t be changed while it runs');
    return step('this server’s simulator can’t be changed');
  }
  await browser.open('#/simulator');
  await browser.until('the settings are there', '#error-chance');
  await browser.tabTo((element) => element.id === 'error-chance');
  await browser.selectAll();
  await browser.type('100');
  await browser.press(Key.ENTER);
  await untilTrue('the server has the new chance', async () => (await api(base, 'GET', '/v1/simulator')).outcome.error_chance === 1);
  const { id } = await api(base, 'POST', '/v1/jobs', { simulate: { duration: { fixed: '200ms' } } });
  await browser.open(`#/jobs/${id}`);
  await browser.until('the next job fails', 'header .badge.failed');
  await api(base, 'PATCH', '/v1/simulator', { outcome: { error_chance: 0.05 } });
  step('the error chance was changed to 100 % by keyboard, and the next job failed');
}

/** A delivery fails, is retried with the button, and arrives under the same id. */
async function retryDelivery() {
  await browser.open('#/webhooks');
  if ((await api(base, 'GET', '/v1/webhooks')) === null) {
    await browser.see('sends no webhooks');
    return step('this server sends no webhooks');
  }
  await browser.see('Nobody is told by webhook yet');
  await browser.tabTo((element) => element.tag === 'BUTTON' && element.text === 'New endpoint');
  await browser.press(Key.ENTER);
  await browser.tabTo((element) => element.id === 'endpoint-url');
  await browser.type(receiver.url);
  await browser.press(Key.ENTER);
  await browser.see('It is shown this once');
  await browser.press(Key.ESCAPE);
  receiver.answer = 503;
  const { id } = await api(base, 'POST', '/v1/jobs', { simulate: { duration: { fixed: '100ms' }, outcome: { error_chance: 0 } } });
  await untilTrue('the receiver is called', () => receiver.idsOf(id).length >= 1);
  await browser.until('the attempt is shown', '.delivery');
  await browser.see('answered 503');
  receiver.answer = 200;
  const before = receiver.idsOf(id).length;
  await browser.tabTo((element) => element.tag === 'BUTTON' && element.text === 'Retry');
  await browser.press(Key.ENTER);
  await untilTrue('it is sent again', () => receiver.idsOf(id).length > before);
  await browser.until('it has arrived', '.delivery .badge.delivered');
  await browser.see('2 attempts');
  assert.equal(new Set(receiver.idsOf(id)).size, 1, 'every attempt has the same webhook-id');
  step('a delivery was retried by keyboard and arrived under the same id');
}

/** Jobs are found by metadata, by the end of an id and by age, and sorted by a press on a column's head. */
async function searchAndSort() {
  const make = (user, seconds) =>
    api(base, 'POST', '/v1/jobs', { kind: 'search', metadata: { user, team: 'red' }, simulate: { duration: { fixed: seconds } } });
  const [first, second] = [await make('4217', 3600), await make('4218', 7200)];
  const rows = () => browser.run('return [...document.querySelectorAll(".grid-row")].map((row) => row.id.slice(4))');
  const find = async (text, ids) => {
    await browser.open(`#/?${new URLSearchParams({ text })}`);
    await untilTrue(`“${text}” finds what it should`, async () => (await rows()).join() === ids.join());
  };
  await find('user=4217', [first.id]);
  await find('team=red', [second.id, first.id]);
  await find(second.id.slice(-10), [second.id]);
  await find('no=such', []);
  await browser.see('No matching jobs');
  await find('team=red', [second.id, first.id]);
  await browser.tabTo((element) => element.tag === 'BUTTON' && element.text.startsWith('Created'));
  await browser.press(Key.ENTER);
  await untilTrue('the oldest is first', async () => (await rows()).join() === [first.id, second.id].join());
  await browser.until('the head says so', '[role=columnheader][aria-sort=ascending]');
  await browser.open('#/?since=5m&text=team%3Dred');
  await untilTrue('what is young is found by age', async () => (await rows()).length === 2);
  await browser.open('#/');
  step('jobs were found by metadata, id and age, and sorted by keyboard');
}

async function readShortcuts() {
  await browser.open('#/');
  await browser.tabTo((element) => element.role === 'grid');
  await browser.type('?');
  await browser.see('Cancel the job');
  await browser.assertAccessible('the shortcuts');
  await browser.press(Key.ESCAPE);
  await browser.type('/');
  await browser.until('the field of the search has the focus', 'input[type=search]:focus');
  step('the shortcuts were shown by one of them');
}

/** A job that came in by a vendor's interface says so, and shows the vendor's requests. */
async function openVendorsJob() {
  const headers = { authorization: 'Bearer any', 'content-type': 'application/json' };
  const body = JSON.stringify({ version: '0'.repeat(64), input: { prompt: 'a cat' } });
  const at = `${base}/dialects/replicate/v1/predictions`;
  const made = await (await fetch(at, { method: 'POST', headers, body })).json();
  await fetch(`${at}/${made.id}`, { headers });
  const { jobs } = await api(base, 'GET', '/v1/jobs?limit=1');
  assert.equal(jobs[0].metadata.dialect, 'replicate');
  await browser.open(`#/jobs/${jobs[0].id}`);
  await browser.tabTo((element) => element.tag === 'SUMMARY' && element.text === 'Every request as it came');
  await browser.press(Key.ENTER);
  await browser.see(`GET /dialects/replicate/v1/predictions/${made.id}`);
  step('a job of a vendor’s interface names it and shows its requests');
}

/** An endpoint that fails again and again is left alone, and its deliveries say what they wait for. */
async function leaveBrokenEndpointAlone() {
  receiver.answer = 503;
  const [{ id }] = (await api(base, 'GET', '/v1/webhooks')).webhooks;
  const breaker = async () => (await api(base, 'GET', `/v1/webhooks/${id}`)).breaker.state;
  for (let n = 0; (await breaker()) !== 'open' && n < 40; n += 1) {
    await api(base, 'POST', `/v1/webhooks/${id}/test`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(await breaker(), 'open');
  await api(base, 'POST', '/v1/jobs', { simulate: { duration: { fixed: '50ms' }, outcome: { error_chance: 0 } } });
  await browser.open(`#/webhooks/${id}`);
  await browser.see('circuit breaker open');
  await browser.see('waiting for the endpoint');
  await pictureOf(browser, 'breaker');
  receiver.answer = 200;
  step('an endpoint that fails is left alone, and what waits for it says so');
}

/** Nine tabs share one stream; when the one that holds it closes, another one takes over and nothing is missed. */
async function openNineTabs(browser) {
  for (let n = 1; n < 9; n += 1) {
    await browser.openTab();
    await browser.until(`tab ${n + 1} is live`, '.connection.open');
  }
  const streams = async () => {
    const text = await (await fetch(`${base}/metrics`)).text();
    return Number(text.match(/^abide_event_streams (\d+)/m)[1]);
  };
  // One for these tabs, one for the browser that drives the other steps.
  await untilTrue('nine tabs hold one stream', async () => (await streams()) === 2);
  const tabs = await browser.tabs();
  await browser.turnTo(tabs[0]);
  await browser.closeTab(tabs[8]);
  await untilTrue('another tab holds it', async () => (await streams()) === 2);
  const { id } = await api(base, 'POST', '/v1/jobs', { kind: 'tabs', simulate: { duration: { fixed: '1s' }, outcome: { error_chance: 0 } } });
  for (const tab of tabs.slice(1)) {
    await browser.turnTo(tab);
    await browser.until('every tab sees a new job end', `[id="row-${id}"] .badge.completed`);
  }
  step('nine tabs held one stream, and went on when its holder closed');
}

/** The server dies while each page is open, and comes back: the page says so, and then shows what happened meanwhile. */
async function loseTheServer(browser) {
  await browser.until('the page is live', '.connection.open');
  const { id } = await api(base, 'POST', '/v1/jobs', { kind: 'lost', simulate: { duration: { fixed: '1h' } } });
  const endpoint = (await api(base, 'GET', '/v1/webhooks')).webhooks[0].id;
  const lose = async (hash) => {
    door.shut();
    await browser.open(hash);
    await browser.see('The server can’t be reached');
  };
  const find = async (hash, selector) => {
    door.open();
    await browser.until(`${hash} heals`, '.connection.open');
    await browser.until(`${hash} heals`, selector);
    await untilTrue(`${hash} complains no more`, async () => !(await browser.run('return document.body.innerText.includes("can’t be reached")')));
  };
  await browser.until('the job is in the list', `[id="row-${id}"]`);
  await lose('#/');
  await pictureOf(browser, 'lost');
  await api(base, 'POST', `/v1/jobs/${id}/cancel`);
  await find('#/', `[id="row-${id}"] .badge.canceled`);
  const { id: unknown } = await (async () => (door.shut(), api(base, 'POST', '/v1/jobs', { kind: 'unseen', simulate: { duration: { fixed: '1h' } } })))();
  for (const [hash, selector] of [
    [`#/jobs/${unknown}`, '.timeline svg'],
    ['#/report', '.scatter svg'],
    [`#/webhooks/${endpoint}`, '.delivery'],
    ['#/simulator', '#error-chance'],
  ]) {
    await lose(hash);
    await find(hash, selector);
  }
  step('the server was lost and came back, and every page healed');
}

/** Another server wants a key and has a clock that stands still. The key is kept by the tab alone. */
async function enterKeyAndMoveClock() {
  await browser.visit(keyed);
  await browser.see('This server wants a key');
  await browser.type('not-this-one');
  await browser.press(Key.ENTER);
  await browser.see('The server doesn’t know this key');
  await browser.tabTo((element) => element.id === 'api-key');
  await browser.selectAll();
  await browser.type(API_KEY);
  await browser.press(Key.ENTER);
  await browser.until('the page is live', '.connection.open');
  const kept = await browser.run('return [Object.values(sessionStorage), Object.values(localStorage), document.cookie]');
  assert.deepEqual(kept, [[API_KEY], [], '']);
  await browser.see('No jobs yet');
  await pictureOf(browser, 'empty');
  const { id } = await api(keyed, 'POST', '/v1/jobs', { simulate: { duration: { fixed: '50s' }, outcome: { error_chance: 0 } } }, { key: API_KEY });
  await browser.until('a job of this key is shown', `[id="row-${id}"] .badge.running, [id="row-${id}"] .badge.pending`);
  if ((await api(keyed, 'GET', '/v1/clock', undefined, { key: API_KEY })) === null) return step('a key was asked for, and kept by the tab alone; this server’s clock can’t be moved');
  await browser.tabTo((element) => element.tag === 'BUTTON' && element.text === '+1 min');
  await browser.press(Key.ENTER);
  await browser.until('the job ends with the clock', `[id="row-${id}"] .badge.completed`);
  step('a key was asked for, and kept by the tab alone; the clock was moved by keyboard');
}

async function lookAtReport() {
  await browser.open('#/report');
  if ((await api(base, 'GET', '/v1/report')) === null) {
    await browser.see('keeps no report');
    return step('this server keeps no report');
  }
  await browser.until('the clients are compared', '.scatter svg, .empty');
  step('the report is shown');
}

/** Jobs of several kinds, some of which were waited for, so that every page has something to show. */
async function furnish() {
  await createMany(base, 60, (n) => ({
    kind: ['video_translation', 'lip_sync', 'thumbnail'][n % 3],
    simulate: { duration: { fixed: `${2 + ((n * 7) % 40)}s` }, outcome: { error_chance: n % 9 === 0 ? 1 : 0 } },
  }));
  const waited = await Promise.all(
    [1.1, 1.9, 2.3, 3.1].map((seconds) => api(base, 'POST', '/v1/jobs', { kind: 'lip_sync', simulate: { duration: { fixed: seconds } } })),
  );
  await Promise.all(waited.map(({ id }) => everybody(base, id)));
}

/** A job that a worker has claimed and has come halfway with. */
async function claimJob() {
  await api(base, 'POST', '/v1/jobs', { kind: 'dub', worker: 'external', on_worker_lost: 'retry', input: { talk: 7 } });
  const { id, lease } = await api(base, 'POST', '/v1/jobs/claim', { kinds: ['dub'], lease_s: 600 });
  const headers = { 'content-type': 'application/json', 'lease-token': lease.token };
  await fetch(`${base}/v1/jobs/${id}`, { method: 'PATCH', headers, body: JSON.stringify({ progress: { percent: 50, stage: 'voices' } }) });
  return id;
}

/** Every page at three widths, light and dark: nothing may be wider than the window. */
async function takePictures(browser) {
  const { jobs } = await api(base, 'GET', '/v1/jobs?limit=1000');
  const watched = jobs.find((job) => job.kind === 'dubbing' && job.done);
  const failed = jobs.find((job) => job.outcome === 'failed');
  const claimed = await claimJob();
  const pages = { jobs: '#/', job: `#/jobs/${watched.id}`, failed: `#/jobs/${failed.id}`, worker: `#/jobs/${claimed}`, report: '#/report', webhooks: '#/webhooks', simulator: '#/simulator' };
  for (const [width, height, scheme] of [
    [390, 844, 'light'],
    [390, 844, 'dark'],
    [768, 1024, 'light'],
    [768, 1024, 'dark'],
    [1600, 1000, 'light'],
    [1600, 1000, 'dark'],
  ]) {
    await browser.show(width, height, scheme);
    for (const [name, hash] of Object.entries(pages)) {
      await browser.open(hash);
      await browser.settle();
      const excess = await browser.run('return document.documentElement.scrollWidth - innerWidth');
      assert.ok(excess <= 0, `${name} is ${excess} px wider than a window of ${width}`);
      await browser.picture(`dashboard-${name}-${width}-${scheme}`);
    }
  }
  step('pictures were taken of every page, at three widths, light and dark');
}

/** A state that passes, on a phone and on a wide screen. */
async function pictureOf(browser, name) {
  for (const [width, height, scheme] of [
    [390, 844, 'dark'],
    [1600, 1000, 'light'],
  ]) {
    await browser.show(width, height, scheme);
    await browser.settle();
    await browser.picture(`dashboard-${name}-${width}-${scheme}`);
  }
}

async function checkAccessibility(browser) {
  const { jobs } = await api(base, 'GET', '/v1/jobs?limit=10');
  for (const [width, scheme] of [
    [390, 'light'],
    [1280, 'dark'],
    [1280, 'light'],
  ]) {
    await browser.show(width, 900, scheme);
    for (const hash of ['#/', `#/jobs/${jobs[0].id}`, '#/report', '#/webhooks', '#/simulator']) {
      await browser.open(hash);
      await browser.settle();
      await browser.assertAccessible(`${hash} ${width} ${scheme}`);
    }
  }
  await browser.open('#/');
  await browser.tabTo((element) => element.tag === 'BUTTON' && element.text === 'New job');
  await browser.press(Key.ENTER);
  await browser.see('How long it runs');
  await browser.assertAccessible('the dialog');
  await browser.press(Key.ESCAPE);
  step('axe found nothing serious on any page');
}

/** Ten thousand jobs: few rows in the document, and frames that cost little while the page scrolls. */
async function scrollTenThousand(browser) {
  await browser.show(1280, 900, 'light');
  await untilTrue('all are listed', async () => Number(await browser.run('return document.querySelector("[role=grid]")?.getAttribute("aria-rowcount")')) > 10_000, 60_000);
  await browser.settle();
  await pictureOf(browser, 'full');
  await browser.show(1280, 900, 'light');
  const { frames, each, rows, end } = await browser.scroll(3000);
  step(`10,000 jobs: ${rows} rows in the document, ${frames} frames while scrolling, ${each.toFixed(1)} ms of work for each`);
  assert.ok(rows < 100, `${rows} rows are in the document`);
  assert.ok(end > 50_000, `the page has scrolled to ${end}`);
  // It is a tick of a 60 Hz screen here, where the processor draws; were all rows in the document, it would be hundreds.
  assert.ok(each < 60, `a frame took ${each} ms of work`);
  await browser.tabTo((element) => element.role === 'grid');
  await browser.press(Key.END);
  const last = await browser.run('return document.activeElement.getAttribute("aria-activedescendant")');
  assert.ok(await browser.run('return document.getElementById(arguments[0]) !== null', last), 'the last row is in the document');
  await browser.press(Key.HOME);
  assert.ok(await browser.run('return scrollY < 400'), 'Home leads back to the top');
}
