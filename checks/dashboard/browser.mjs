// A headless Chromium, driven through chromedriver, that remembers what its console said and which hosts it asked.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Builder, Key, logging } from 'selenium-webdriver';
import chrome from 'selenium-webdriver/chrome.js';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PATIENCE = 30_000;
const TABS_MAX = 60;

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--hide-scrollbars',
  '--window-size=1280,900',
];

export class Browser {
  #driver;
  #profile;
  #base;
  #images;
  #hosts = new Set();
  #complaints = [];

  static async start(base, images) {
    const browser = new Browser();
    browser.#base = base;
    browser.#images = images;
    browser.#profile = mkdtempSync(join(tmpdir(), 'abide-browser-'));
    const wanted = new logging.Preferences();
    wanted.setLevel(logging.Type.BROWSER, logging.Level.ALL);
    wanted.setLevel(logging.Type.PERFORMANCE, logging.Level.ALL);
    const options = new chrome.Options().setChromeBinaryPath(process.env.CHROMIUM ?? '/usr/bin/chromium');
    options.addArguments(...FLAGS, `--user-data-dir=${browser.#profile}`);
    options.setLoggingPrefs(wanted);
    browser.#driver = await new Builder()
      .forBrowser('chrome')
      .setChromeOptions(options)
      .setChromeService(new chrome.ServiceBuilder(process.env.CHROMEDRIVER ?? '/usr/bin/chromedriver'))
      .build();
    await browser.#driver.manage().setTimeouts({ script: 120_000 });
    // How many requests have no answer yet, for `settle`. A stream has one as soon as it begins.
    await browser.#driver.sendDevToolsCommand('Page.addScriptToEvaluateOnNewDocument', {
      source: `
        window.asked = 0;
        const ask = window.fetch;
        window.fetch = (...given) => {
          window.asked += 1;
          return ask(...given).finally(() => (window.asked -= 1));
        };
      `,
    });
    await browser.#driver.get(`${base}/`);
    return browser;
  }

  async stop() {
    await this.#driver.quit().catch(() => {});
    rmSync(this.#profile, { recursive: true, force: true });
  }

  run(script, ...given) {
    return this.#driver.executeScript(script, ...given);
  }

  /** Goes to another server. */
  async visit(base) {
    await this.#driver.get(`${base}/`);
  }

  /** Opens the first page in one more tab, which is then the one that is driven; gives the name to come back by. */
  async openTab() {
    await this.#driver.switchTo().newWindow('tab');
    await this.#driver.get(`${this.#base}/`);
    return this.#driver.getWindowHandle();
  }

  /** The tabs that are open, the oldest first. */
  tabs() {
    return this.#driver.getAllWindowHandles();
  }

  /** Drives another tab. */
  async turnTo(tab) {
    await this.#driver.switchTo().window(tab);
  }

  /** Closes the tab that is driven, and drives another one. */
  async closeTab(next) {
    await this.#driver.close();
    await this.#driver.switchTo().window(next);
  }

  /** Goes to a page of the dashboard, without a reload. */
  async open(hash) {
    await this.run('location.hash = arguments[0]', hash);
  }

  /** Waits until an element matches. */
  async until(what, selector) {
    await this.#wait(what, () => this.run('return document.querySelector(arguments[0]) !== null', selector));
  }

  /** Waits until a text is on the page. */
  async see(text) {
    await this.#wait(`to see “${text}”`, () => this.run('return document.body.innerText.includes(arguments[0])', text));
  }

  async #wait(what, isTrue) {
    const end = Date.now() + PATIENCE;
    while (!(await isTrue())) {
      if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await this.#readLogs();
  }

  /** Lets what is being read and drawn come to an end. */
  async settle() {
    await this.#driver.executeAsyncScript(`
      const done = arguments[0];
      const end = performance.now() + ${PATIENCE};
      const drawn = () => requestAnimationFrame(() => requestAnimationFrame(() => done()));
      (function look() {
        if (window.asked > 0 && performance.now() < end) setTimeout(look, 20);
        // A client that was answered may ask for more.
        else setTimeout(() => (window.asked > 0 && performance.now() < end ? look() : drawn()), 60);
      })();
    `);
  }

  async press(...keys) {
    for (const key of keys) await this.#driver.actions().sendKeys(key).perform();
  }

  /** Selects what is in the field that has the focus, so that typing replaces it. */
  async selectAll() {
    await this.#driver.actions().keyDown(Key.CONTROL).sendKeys('a').keyUp(Key.CONTROL).perform();
  }

  async type(text) {
    await this.#driver.actions().sendKeys(text).perform();
  }

  /** Presses Tab until the focus is where it should be, as a user without a mouse does. */
  async tabTo(isThere) {
    const passed = [];
    for (let n = 0; n < TABS_MAX; n += 1) {
      const element = await this.run(`
        const one = document.activeElement;
        return { tag: one.tagName, id: one.id, role: one.getAttribute('role'), text: one.textContent.trim() };
      `);
      if (isThere(element)) return;
      passed.push(`${element.tag}#${element.id} ${element.text.slice(0, 20)}`);
      await this.press(Key.TAB);
    }
    throw new Error(`the focus doesn’t get there by Tab; it passed:\n${passed.join('\n')}`);
  }

  /** A window of that size and that color scheme. */
  async show(width, height, scheme) {
    const cdp = (command, given) => this.#driver.sendDevToolsCommand(command, given);
    await cdp('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 500 });
    await cdp('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
  }

  async picture(name) {
    writeFileSync(join(this.#images, `${name}.png`), Buffer.from(await this.#driver.takeScreenshot(), 'base64'));
  }

  /** Scrolls down for a while, a step a frame: how many frames there were, what each cost, the most rows there were, and where it ended. */
  async scroll(ms) {
    // What the page's thread has worked, not what the clock says: on a machine that has other things to do the two differ.
    await this.#driver.sendDevToolsCommand('Performance.enable', { timeDomain: 'threadTicks' });
    const before = await this.#worked();
    const scrolled = await this.#driver.executeAsyncScript(
      `
      const [ms, done] = arguments;
      let frames = 0;
      let rows = 0;
      const began = performance.now();
      requestAnimationFrame(function frame(now) {
        frames += 1;
        rows = Math.max(rows, document.querySelectorAll('.grid-row').length);
        scrollBy({ top: 700, behavior: 'instant' });
        if (now - began < ms || frames < 100) requestAnimationFrame(frame);
        else done({ frames, rows, end: scrollY });
      });
      `,
      ms,
    );
    return { ...scrolled, each: ((await this.#worked()) - before) / scrolled.frames };
  }

  /** How long the page's thread has worked, in milliseconds. */
  async #worked() {
    const { metrics } = await this.#driver.sendAndGetDevToolsCommand('Performance.getMetrics', {});
    return metrics.find(({ name }) => name === 'TaskDuration').value * 1000;
  }

  async assertAccessible(where) {
    if (!(await this.run('return typeof axe === "object"'))) await this.run(AXE);
    const violations = await this.#driver.executeAsyncScript(`
      const done = arguments[0];
      axe.run(document, { resultTypes: ['violations'] }).then(
        ({ violations }) => done(violations.map(({ id, impact, help, nodes }) => ({ id, impact, help, nodes: nodes.map(({ html, failureSummary }) => html.slice(0, 300) + ' ' + failureSummary) }))),
        (error) => done([{ id: 'axe', impact: 'critical', help: String(error), nodes: [] }]),
      );
    `);
    const grave = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
    assert.equal(grave.length, 0, `${where}: ${JSON.stringify(grave, null, 2)}`);
    for (const { id, impact, help } of violations) console.log(`          ${where}: ${impact}, ${id}: ${help}`);
  }

  /** Nothing was complained of in the console, and no other host was asked. */
  async assertQuiet() {
    await this.#readLogs();
    assert.deepEqual(this.#complaints, []);
    assert.deepEqual([...this.#hosts], [new URL(this.#base).host]);
  }

  async #readLogs() {
    const logs = this.#driver.manage().logs();
    for (const { level, message } of await logs.get(logging.Type.BROWSER)) {
      // What a server doesn't have yet it answers with 404, and the browser notes it; the pages say it in words.
      if (/status of 404/.test(message)) continue;
      if (level.value >= logging.Level.WARNING.value) this.#complaints.push(message);
    }
    for (const { message } of await logs.get(logging.Type.PERFORMANCE)) {
      const { method, params } = JSON.parse(message).message;
      if (method === 'Network.requestWillBeSent') this.#note(params.request.url);
      if (method === 'Network.webSocketCreated') this.#note(params.url);
    }
  }

  #note(address) {
    const { protocol, host } = new URL(address);
    // The browser's own pages aren't fetched from anywhere.
    if (/^(https?|wss?):$/.test(protocol)) this.#hosts.add(host);
  }
}
