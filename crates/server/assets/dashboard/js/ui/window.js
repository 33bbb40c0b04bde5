// A list of which only what is seen is in the document, so that ten thousand rows cost as much as thirty.
//
// The page itself scrolls, not a box in it. Rows have one height. When rows come in above what is being read, the page is scrolled by as
// much, so that what is being read stays where it is.
//
// For the keyboard it is a grid with one place to be: arrows, Page Up and Down, Home and End move it, Enter opens. The focus
// stays on the grid and the row is named by `aria-activedescendant`, so it can't be lost when a row leaves the document.

import { html, useCallback, useEffect, useLayoutEffect, useReducer, useRef, useState } from '../html.js';

/** Rows above and below what is seen that are kept ready. */
const SPARE = 8;

export function WindowedGrid({ items, keyOf, rowHeight, label, columns, head, renderRow, onOpen, onKey }) {
  const body = useRef(null);
  const anchor = useRef(null);
  const [view, look] = useReducer(() => measure(body.current, rowHeight), { first: 0, last: 30 });
  const [activeKey, setActiveKey] = useState(null);

  useEffect(() => {
    let frame = 0;
    const soon = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        look();
      });
    };
    addEventListener('scroll', soon, { passive: true });
    addEventListener('resize', soon);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener('scroll', soon);
      removeEventListener('resize', soon);
    };
  }, [rowHeight]);
  useLayoutEffect(look, [rowHeight, items.length]);

  // Before this drawing the first row seen was `anchor`; if it is further down now, follow it.
  useLayoutEffect(() => {
    const was = anchor.current;
    if (was && was.index > 0 && keyOf(items[was.index] ?? {}) !== was.key) {
      const index = items.findIndex((item) => keyOf(item) === was.key);
      if (index > was.index) scrollBy({ top: (index - was.index) * rowHeight, behavior: 'instant' });
    }
    const { seen } = measure(body.current, rowHeight);
    anchor.current = items[seen] ? { index: seen, key: keyOf(items[seen]) } : null;
  });

  const first = Math.max(0, Math.min(view.first, items.length - 1) - SPARE);
  const last = Math.min(items.length, view.last + SPARE);
  const activeIndex = activeKey === null ? -1 : items.findIndex((item) => keyOf(item) === activeKey);

  const move = useCallback(
    (index) => {
      const to = Math.max(0, Math.min(items.length - 1, index));
      if (!items[to]) return;
      setActiveKey(keyOf(items[to]));
      reveal(body.current, to, rowHeight);
      look();
    },
    [items, rowHeight],
  );

  function onKeyDown(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target !== event.currentTarget) return;
    const page = Math.max(1, Math.floor(innerHeight / rowHeight) - 4);
    const from = activeIndex < 0 ? Math.max(0, measure(body.current, rowHeight).seen) : activeIndex;
    const step = activeIndex < 0 ? 0 : 1;
    const moves = {
      ArrowDown: from + step,
      ArrowUp: from - step,
      PageDown: from + page,
      PageUp: from - page,
      Home: 0,
      End: items.length - 1,
    };
    if (event.key in moves) {
      event.preventDefault();
      move(moves[event.key]);
    } else if (event.key === 'Enter' && activeIndex >= 0) {
      event.preventDefault();
      onOpen(items[activeIndex]);
    } else if (activeIndex >= 0) {
      onKey?.(event.key, items[activeIndex]);
    }
  }

  return html`
    <div
      class="grid"
      role="grid"
      tabindex="0"
      aria-label=${label}
      aria-rowcount=${items.length + 1}
      aria-colcount=${columns}
      aria-activedescendant=${activeIndex >= first && activeIndex < last ? `row-${activeKey}` : null}
      onKeyDown=${onKeyDown}
    >
      <div class="grid-head" role="row" aria-rowindex="1">${head}</div>
      <div ref=${body} role="rowgroup" class="grid-body" style=${{ height: `${items.length * rowHeight}px` }}>
        ${items.slice(first, last).map((item, offset) => {
          const index = first + offset;
          const key = keyOf(item);
          return html`
            <div
              key=${key}
              id=${`row-${key}`}
              role="row"
              aria-rowindex=${index + 2}
              aria-selected=${key === activeKey}
              class=${`grid-row ${key === activeKey ? 'active' : ''}`}
              style=${{ transform: `translateY(${index * rowHeight}px)`, height: `${rowHeight}px` }}
              onPointerDown=${() => setActiveKey(key)}
            >
              ${renderRow(item)}
            </div>
          `;
        })}
      </div>
    </div>
  `;
}

/** Which rows are in sight: `first` and `last` of the window, and `seen`, the first below the bar. */
function measure(body, rowHeight) {
  if (!body) return { first: 0, last: 30, seen: 0 };
  const top = body.getBoundingClientRect().top;
  return {
    first: Math.max(0, Math.floor(-top / rowHeight)),
    last: Math.max(0, Math.ceil((innerHeight - top) / rowHeight)),
    seen: Math.max(0, Math.floor((headHeight() - top) / rowHeight)),
  };
}

/** Scrolls as little as is needed to have the row in sight, clear of what sticks to the edges. */
function reveal(body, index, rowHeight) {
  const top = body.getBoundingClientRect().top + index * rowHeight;
  const over = top - headHeight();
  const under = top + rowHeight - (innerHeight - footHeight());
  if (over < 0) scrollBy({ top: over, behavior: 'instant' });
  else if (under > 0) scrollBy({ top: under, behavior: 'instant' });
}

const headHeight = () => {
  const head = document.querySelector('.grid-head');
  const bar = document.querySelector('.bar')?.offsetHeight ?? 0;
  return bar + (head?.offsetHeight ?? 0);
};

const footHeight = () => {
  const nav = document.querySelector('.nav');
  return nav && getComputedStyle(nav).position === 'fixed' ? nav.offsetHeight + 4 : 4;
};
