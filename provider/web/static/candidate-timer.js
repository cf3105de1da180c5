// The time left. The server sends it in seconds, and this page counts it down.

import { loadValue, saveValue } from "./candidate-storage.js";
import { TEXTS } from "./candidate-texts.js";

const ANNOUNCEMENTS = [
  [300, TEXTS.fiveMinutesLeft],
  [60, TEXTS.oneMinuteLeft],
];
const RETRY_DELAY_MS = 2000; // between two requests to the server when the countdown is at zero

/**
 * Count down in `attempt`. `sync(seconds)` corrects the countdown; `onTimeNearlyOver` and
 * `onTimeOver` are called near the end and when the server says that the time is over.
 */
export function startTimer(attempt) {
  const display = attempt.querySelector("[data-time-left]");
  const announcement = attempt.querySelector("[data-announce]");
  const timer = { sync, onTimeNearlyOver() {}, onTimeOver() {} };
  let endsAt = 0;
  let isChecking = false;

  function sync(seconds) {
    endsAt = Date.now() + seconds * 1000;
  }

  function secondsLeft() {
    return Math.max(0, (endsAt - Date.now()) / 1000);
  }

  function tick() {
    const seconds = secondsLeft();
    if (display) display.textContent = formatTime(seconds);
    attempt.toggleAttribute("data-low", Boolean(display) && seconds <= 60);
    if (display) announce(seconds);
    if (seconds <= 3) timer.onTimeNearlyOver();
    if (seconds === 0) checkWithServer();
  }

  function announce(seconds) {
    for (const [threshold, text] of ANNOUNCEMENTS) {
      // Each question is a page of its own; the tab remembers which announcement was made.
      const key = `${attempt.dataset.attempt}#${threshold}`;
      if (seconds > threshold || loadValue(key)) continue;
      saveValue(key, "announced");
      if (seconds > threshold - 50) announcement.textContent = text;
    }
  }

  // Only the server knows: this device's clock may be wrong, or staff may have given more time.
  async function checkWithServer() {
    if (isChecking) return;
    isChecking = true;
    try {
      const headers = { Accept: "application/json" };
      const response = await fetch(attempt.dataset.timeUrl, { headers });
      if (response.ok) sync((await response.json()).seconds_left);
      else if (response.status < 500) timer.onTimeOver();
      isChecking = false;
    } catch {
      setTimeout(() => (isChecking = false), RETRY_DELAY_MS);
    }
  }

  sync(Number(attempt.dataset.secondsLeft) - secondsSinceResponse());
  tick();
  setInterval(tick, 1000);
  return timer;
}

function secondsSinceResponse() {
  const [navigation] = performance.getEntriesByType("navigation");
  return navigation ? Math.max(0, performance.now() - navigation.responseStart) / 1000 : 0;
}

/** Return seconds as `m:ss` or `h:mm:ss`. */
function formatTime(seconds) {
  const whole = Math.ceil(seconds);
  const pad = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const minutesAndSeconds = `${pad(minutes)}:${pad(whole % 60)}`;
  return hours ? `${hours}:${minutesAndSeconds}` : minutesAndSeconds.replace(/^0(?=\d:)/, "");
}
