// What is kept by the tab or by the browser. A browser that keeps nothing for us is no reason to fail.

/** Until the tab closes. */
export const byTab = keeper(() => sessionStorage);
/** Until the user clears it. */
export const byBrowser = keeper(() => localStorage);

function keeper(storage) {
  const attempt = (what) => {
    try {
      return what(storage());
    } catch {
      return null;
    }
  };
  return {
    get: (name) => attempt((store) => store.getItem(name)),
    set: (name, value) => attempt((store) => store.setItem(name, value)),
    remove: (name) => attempt((store) => store.removeItem(name)),
  };
}
