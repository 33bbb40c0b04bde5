// The frame: bar, navigation, and the page that the address names.

import { keyHeld, keyWanted, request, setKey } from './api.js';
import { Cell, useCell } from './cell.js';
import { advance, clock, keepInStep, useNow } from './clock.js';
import { connection, lostAt } from './feed.js';
import { span, time } from './format.js';
import { html, render, useEffect, useState } from './html.js';
import { start } from './jobs.js';
import { byBrowser } from './kept.js';
import { JobPage } from './pages/job.js';
import { JobsPage } from './pages/jobs.js';
import { ReportPage } from './pages/report.js';
import { SimulatorPage } from './pages/simulator.js';
import { WebhooksPage } from './pages/webhooks.js';
import { go, place } from './router.js';
import { Dialog } from './ui/dialog.js';
import { Icon } from './ui/icon.js';
import { Toasts, say, toast, toastProblem } from './ui/toast.js';
import { useTask } from './ui/use.js';

const PAGES = [
  { path: '', icon: 'jobs', title: 'Jobs' },
  { path: 'report', icon: 'report', title: 'Report' },
  { path: 'webhooks', icon: 'webhooks', title: 'Webhooks' },
  { path: 'simulator', icon: 'simulator', title: 'Simulator' },
];

const VERSION = document.querySelector('meta[name=version]').content;
const THEMES = ['auto', 'light', 'dark'];
const theme = new Cell(byBrowser.get('abide.theme') ?? 'auto');
const isKeyDialogOpen = new Cell(false);
const isHelpOpen = new Cell(false);

const SHORTCUTS = [
  ['/', 'Search the jobs'],
  ['↑ ↓ Page Up Page Down Home End', 'Move in the list of jobs, once Tab has brought you there'],
  ['Enter', 'Open the job'],
  ['Delete', 'Cancel the job'],
  ['Escape', 'Close a dialog'],
  ['?', 'Show these shortcuts'],
];

function App() {
  const { path } = useCell(place);
  const isKeyWanted = useCell(keyWanted);
  const isKeyAsked = useCell(isKeyDialogOpen);
  const isHelpShown = useCell(isHelpOpen);
  useEffect(() => {
    addEventListener('keydown', shortcut);
    return () => removeEventListener('keydown', shortcut);
  }, []);
  const [section = '', id = null] = path;
  const current = section === 'jobs' ? '' : section;

  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to content</a>
    <div class="shell">
      <header class="bar">
        <a class="brand" href="#/"><img src="assets/icon.svg" alt="" />abide</a>
        <div class="right">
          <${Connection} />
          <${ClockControl} />
          <${ThemeButton} />
          <button
            type="button"
            class="bare"
            aria-label="API key"
            title="API key"
            onClick=${() => (isKeyDialogOpen.value = true)}
          >
            <${Icon} name="key" />
          </button>
        </div>
      </header>
      <nav class="nav" aria-label="Pages">
        <ul>
          ${PAGES.map(
            ({ path, icon, title }) => html`
              <li key=${path}>
                <a href=${`#/${path}`} aria-current=${current === path ? 'page' : null}>
                  <${Icon} name=${icon} />${title}
                </a>
              </li>
            `,
          )}
        </ul>
      </nav>
      <main id="main" tabindex="-1">
        <${Lost} />
        <${Page} section=${section} id=${id} />
        <footer class="foot small">
          <a href="docs/">API reference</a><a href="openapi.json">OpenAPI</a>
          <button type="button" onClick=${() => (isHelpOpen.value = true)}>Keyboard shortcuts</button>
          <span class="soft">abide ${VERSION}</span>
        </footer>
      </main>
    </div>
    <${Toasts} />
    ${isHelpShown && html`<${HelpDialog} />`}
    ${(isKeyAsked || isKeyWanted) && html`<${KeyDialog} isWanted=${isKeyWanted} />`}
  `;
}

function Page({ section, id }) {
  if (section === 'jobs' && id) return html`<${JobPage} key=${id} id=${id} />`;
  if (section === '' || section === 'jobs') return html`<${JobsPage} />`;
  if (section === 'report') return html`<${ReportPage} />`;
  if (section === 'webhooks') return html`<${WebhooksPage} id=${id} />`;
  if (section === 'simulator') return html`<${SimulatorPage} />`;
  return html`<div class="empty"><h1>There is no such page</h1><a href="#/">To the jobs</a></div>`;
}

/** Says that what is shown is old. */
function Lost() {
  const at = useCell(lostAt);
  if (at === null) return null;
  return html`
    <p class="notice lost" role="alert">
      The server can’t be reached since ${time(performance.timeOrigin + at)}. This is how things stood then; the page goes on by itself.
    </p>
  `;
}

function Connection() {
  const state = useCell(connection);
  const text = { open: 'Live', connecting: 'Connecting', waiting: 'Offline', refused: 'No key' }[state] ?? 'Offline';
  useEffect(() => {
    if (state === 'connecting') return undefined;
    const timer = setTimeout(() => say(state === 'waiting' ? 'The connection is lost; trying again' : text), 1000);
    return () => clearTimeout(timer);
  }, [state]);
  return html`<span class=${`connection ${state}`}><i></i><span>${text}</span></span>`;
}

/** The server's time where it isn't ours, and the way to move it on where it stands still. */
function ClockControl() {
  const { sort, speed } = useCell(clock);
  const isManual = sort === 'manual';
  const now = useNow(!isManual && speed !== 1);
  const [step, isBusy] = useTask(async (seconds) => {
    try {
      await advance(seconds);
      say(`The clock is ${span(seconds * 1000)} further`);
    } catch (problem) {
      toastProblem(problem);
    }
  });
  if (!isManual && speed === 1) return null;
  return html`
    <div class="clock" role="group" aria-label="Server’s clock">
      <time class="hide-narrow" datetime=${new Date(now).toISOString()}>
        ${time(now, now)}${isManual ? '' : ` · ${speed}×`}
      </time>
      ${isManual &&
      [1, 10, 60].map(
        (seconds) => html`
          <button type="button" class=${`small ${seconds === 10 ? 'hide-narrow' : ''}`} disabled=${isBusy} onClick=${() => step(seconds)}>
            +${seconds === 60 ? '1 min' : `${seconds} s`}
          </button>
        `,
      )}
    </div>
  `;
}

function ThemeButton() {
  const name = useCell(theme);
  const next = THEMES[(THEMES.indexOf(name) + 1) % THEMES.length];
  useEffect(() => {
    if (name === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
  }, [name]);
  function press() {
    byBrowser.set('abide.theme', next);
    theme.value = next;
    say(`Colors: ${next}`);
  }
  const label = `Colors: ${name}. Change to ${next}.`;
  return html`
    <button type="button" class="bare" aria-label=${label} title=${label} onClick=${press}>
      <${Icon} name="theme" />
    </button>
  `;
}

function KeyDialog({ isWanted }) {
  const [key, setText] = useState('');
  const isHeld = useCell(keyHeld);
  const close = () => {
    isKeyDialogOpen.value = false;
    keyWanted.value = false;
  };
  const [take, isBusy, problem] = useTask(async (text) => {
    // A key that the server doesn't know is refused here, where it can be mended.
    if (text && (await request('v1/jobs?limit=1', { headers: { authorization: `Bearer ${text}` } })).status === 401) {
      throw new Error('The server doesn’t know this key.');
    }
    setKey(text);
    close();
    start();
    toast(text ? 'The key is used until this tab closes.' : 'The key is forgotten.');
  });
  function submit(event) {
    event.preventDefault();
    take(key.trim());
  }
  return html`
    <${Dialog} title="API key" onClose=${close}>
      <form class="stack" onSubmit=${submit}>
        <p>
          ${isWanted
            ? 'This server wants a key, and didn’t get one that it knows.'
            : isHeld
              ? 'This tab has a key.'
              : 'A server without keys needs none.'}
          ${' '}A key is kept by this tab alone and is gone when the tab closes.
        </p>
        <div class="field">
          <label for="api-key">Key</label>
          <input
            id="api-key"
            type="password"
            autocomplete="off"
            spellcheck="false"
            required
            autofocus
            value=${key}
            onInput=${(event) => setText(event.target.value)}
          />
        </div>
        ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
        <footer>
          ${isHeld && html`<button type="button" onClick=${() => take('')}>Forget the key</button>`}
          <button class="primary" disabled=${isBusy}>Use this key</button>
        </footer>
      </form>
    <//>
  `;
}

function HelpDialog() {
  return html`
    <${Dialog} title="Keyboard shortcuts" onClose=${() => (isHelpOpen.value = false)}>
      <dl class="facts">
        ${SHORTCUTS.map(([keys, text]) => html`<div key=${keys}><dt><kbd>${keys}</kbd></dt><dd>${text}</dd></div>`)}
      </dl>
    <//>
  `;
}

function shortcut(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest?.('input, textarea, select, dialog')) return;
  if (event.key === '?') {
    isHelpOpen.value = true;
  } else if (event.key === '/') {
    event.preventDefault();
    if (place.value.path.length > 0) go('');
    // The page of jobs is drawn a moment later if another one was seen.
    setTimeout(() => document.querySelector('input[type=search]')?.focus(), 50);
  }
}

function skip(event) {
  // The part after `#` names a page here, so the browser can't jump there by itself.
  event.preventDefault();
  document.getElementById('main').focus();
}

keepInStep();
start();
const root = document.getElementById('app');
root.replaceChildren();
render(html`<${App} />`, root);
