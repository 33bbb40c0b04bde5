// Small habits that several components share.

import { returns } from '../feed.js';
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from '../html.js';

/** Runs a task for a button: `[run, isBusy, problem]`. While it runs a second press does nothing. */
export function useTask(task) {
  const [state, setState] = useState({ isBusy: false, problem: null });
  const busy = useRef(false);
  const alive = useRef(true);
  useEffect(() => () => (alive.current = false), []);
  const run = async (...given) => {
    if (busy.current) return;
    busy.current = true;
    setState({ isBusy: true, problem: null });
    let problem = null;
    try {
      await task(...given);
    } catch (error) {
      problem = error;
    }
    busy.current = false;
    if (alive.current) setState({ isBusy: false, problem });
  };
  return [run, state.isBusy, state.problem];
}

/**
 * Reads something now, every `every` milliseconds while the page is seen, when a lost connection is back, and whenever `inputs` change:
 * `{data, problem, reload}`. `data` is `undefined` until it has been read once.
 */
export function useData(read, inputs, every = 0) {
  const [state, setState] = useState({ data: undefined, problem: null });
  const latest = useRef(0);
  const reload = useCallback(async () => {
    const mine = (latest.current += 1);
    try {
      const data = await read();
      if (mine === latest.current) setState({ data, problem: null });
    } catch (problem) {
      if (mine === latest.current) setState((state) => ({ ...state, problem }));
    }
  }, inputs);
  useEffect(() => {
    setState({ data: undefined, problem: null });
    reload();
    const timer = every > 0 ? setInterval(() => document.hidden || reload(), every) : 0;
    const unwatch = returns.watch(reload);
    return () => {
      unwatch();
      clearInterval(timer);
      latest.current += 1;
    };
  }, [reload, every]);
  return { ...state, reload };
}

/** Whether a media query holds. */
export function useMedia(query) {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const look = () => setMatches(media.matches);
    media.addEventListener('change', look);
    return () => media.removeEventListener('change', look);
  }, [query]);
  return matches;
}

/** The element's width in pixels: `[ref, width]`. */
export function useWidth(initial = 600) {
  const element = useRef(null);
  const [width, setWidth] = useState(initial);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.round(entry.contentRect.width)));
    observer.observe(element.current);
    setWidth(Math.round(element.current.getBoundingClientRect().width));
    return () => observer.disconnect();
  }, []);
  return [element, width];
}

/** Names the page in the window's title, and gives the focus to its heading when one has come from another page. */
export function usePage(title) {
  const heading = useRef(null);
  useEffect(() => {
    document.title = `${title} · abide`;
  }, [title]);
  useEffect(() => {
    if (hasMoved) heading.current?.focus({ preventScroll: true });
    hasMoved = true;
    scrollTo(0, 0);
  }, []);
  return heading;
}

let hasMoved = false;
