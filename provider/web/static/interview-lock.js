// One tab at a time records: two recorders would use up the takes and mix what this device keeps.

const WAIT_MS = 1500; // a page that is being left releases its lock a moment later

let isOwner = false;

/** Resolve with true when this page is the only one that records at `path`, until it is left. */
export function becomeOnlyRecorder(path) {
  if (isOwner || !navigator.locks) return Promise.resolve(true);
  return new Promise((resolve) => {
    const options = { signal: AbortSignal.timeout(WAIT_MS) };
    navigator.locks
      .request(`interview-recording ${path}`, options, () => {
        isOwner = true;
        resolve(true);
        return new Promise(() => {}); // the browser releases the lock with the page
      })
      .catch(() => resolve(false));
  });
}
