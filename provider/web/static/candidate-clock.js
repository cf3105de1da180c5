// The server's time, counted from its last reply on the monotonic clock. The device's date is never
// used as a time: it may be wrong, and it may change.

const MAX_DRIFT_MS = 1000;

/** Return a clock that shows `serverMs` at the monotonic time `monotonicMs`. */
export function createServerClock(serverMs, monotonicMs) {
  let driftMs = 0;
  set(serverMs, monotonicMs);

  /** Set the clock. Times are in milliseconds since 1970. */
  function set(ms, atMs = performance.now()) {
    [serverMs, monotonicMs] = [ms, atMs];
    driftMs = Date.now() - performance.now();
  }

  /** Return whether the two clocks of the device disagree: some phones stop one while they sleep. */
  function isDoubtful() {
    return Math.abs(Date.now() - performance.now() - driftMs) > MAX_DRIFT_MS;
  }

  return { set, isDoubtful, now: () => serverMs + performance.now() - monotonicMs };
}

/** Return the monotonic time at which the response with this page began to arrive. */
export function pageArrivedAtMs() {
  const [navigation] = performance.getEntriesByType("navigation");
  return Math.min(navigation?.responseStart ?? performance.now(), performance.now());
}

/** Return seconds as `m:ss` or `h:mm:ss`. */
export function formatTime(seconds) {
  const whole = Math.ceil(seconds);
  const pad = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const minutesAndSeconds = `${pad(minutes)}:${pad(whole % 60)}`;
  return hours ? `${hours}:${minutesAndSeconds}` : minutesAndSeconds.replace(/^0(?=\d:)/, "");
}
