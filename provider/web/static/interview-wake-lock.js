// Keeps the screen on while a recording runs: a phone that goes dark stops camera and microphone.

/** Keep the screen on until `release()`. A browser that cannot do so, or refuses, records anyway. */
export function keepScreenOn() {
  let lock = null;
  let isWanted = true;

  // The browser releases the lock of a page that is not visible.
  async function acquire() {
    if (!isWanted || document.hidden || !navigator.wakeLock) return;
    try {
      lock = await navigator.wakeLock.request("screen");
      if (!isWanted) release();
    } catch {
      lock = null; // a battery that is nearly empty, for example
    }
  }

  function release() {
    isWanted = false;
    document.removeEventListener("visibilitychange", acquire);
    lock?.release().catch(() => {});
    lock = null;
  }

  document.addEventListener("visibilitychange", acquire);
  acquire();
  return { release };
}
