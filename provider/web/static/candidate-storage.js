// Values that this tab remembers from page to page. A browser may refuse to store them: the page
// then works without them.

export function loadValue(key) {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}

/** Store `value` under `key`; null removes it. */
export function saveValue(key, value) {
  try {
    if (value === null) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, value);
  } catch {
    // Only the convenience is lost.
  }
}
