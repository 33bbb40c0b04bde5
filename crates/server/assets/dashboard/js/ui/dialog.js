// A dialog. The browser's own: it keeps the focus inside, closes on Escape, and gives the focus back.

import { html, useEffect, useRef } from '../html.js';
import { Icon } from './icon.js';

let names = 0;

export function Dialog({ title, onClose, children }) {
  const element = useRef(null);
  const id = useRef(`dialog-${(names += 1)}`);
  useEffect(() => {
    const before = document.activeElement;
    element.current.showModal();
    return () => before?.isConnected && before.focus();
  }, []);
  return html`
    <dialog ref=${element} aria-labelledby=${id.current} onClose=${onClose}>
      <header>
        <h2 id=${id.current}>${title}</h2>
        <button type="button" class="bare" aria-label="Close" onClick=${() => element.current.close()}>
          <${Icon} name="close" />
        </button>
      </header>
      <div class="body">${children}</div>
    </dialog>
  `;
}
