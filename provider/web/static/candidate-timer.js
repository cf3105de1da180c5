// The time left. The server sends it in seconds, and this page counts it down on the server's clock.
// The page asks the server again when the device wakes, and when the countdown reaches zero.

import { createServerClock, formatTime, pageArrivedAtMs } from "./candidate-clock.js";
import { loadValue, saveValue } from "./candidate-storage.js";
import { TEXTS } from "./candidate-texts.js";

const ANNOUNCEMENTS = [
  [600, TEXTS.tenMinutesLeft],
  [300, TEXTS.fiveMinutesLeft],
  [60, TEXTS.oneMinuteLeft],
];
const ANNOUNCED_SECONDS = 55; // so long is an announcement shown where the clock is hidden
const POLL_INTERVAL_MS = 20000; // an extension is shown after that time at the latest
const MIN_EXTENSION_MS = 2000; // a smaller change of the end is a matter of rounding
const RETRY_DELAY_MS = 2000; // between two requests for the time that fail

/**
 * Count down in `attempt`. `sync(reply)` sets clock and end by the `now` and `seconds_left` of a
 * reply, shows an extension, and `now()` returns the server's time. `check()` asks the server. `onTick` gets the seconds
 * left; `onTimeOver` is called when the server says that the time is over, or paused.
 */
export function startTimer(attempt) {
  const display = attempt.querySelector("[data-time-left]");
  const announcement = attempt.querySelector("[data-announce]");
  const serverMs = Number(attempt.dataset.nowMs);
  const clock = createServerClock(serverMs, pageArrivedAtMs());
  const timer = { sync, now: clock.now, check: checkWithServer, onTick() {}, onReply() {}, onTimeOver() {} };
  let endsAtMs = serverMs + Number(attempt.dataset.secondsLeft) * 1000;
  let isChecking = false, announcedUntil = 0;
  let end = attempt.dataset.attempt; // the tab remembers what was announced for this end

  function sync(reply) {
    const { now, seconds_left: seconds } = reply;
    clock.set(now);
    const newEndMs = now + seconds * 1000;
    if (display && newEndMs > endsAtMs + MIN_EXTENSION_MS) showExtension(newEndMs - endsAtMs);
    endsAtMs = newEndMs;
    timer.onReply(reply);
  }

  // Staff, or the end of an outage of the server, gave more time.
  function showExtension(milliseconds) {
    const notice = document.querySelector('[data-notice="time"]');
    notice.textContent = TEXTS.timeAdded.replace("{1}", formatTime(milliseconds / 1000));
    notice.hidden = false;
    announcement.textContent = "";
    end = String(Math.round((endsAtMs + milliseconds) / 1000));
  }

  function secondsLeft() {
    return Math.max(0, (endsAtMs - clock.now()) / 1000);
  }

  function tick() {
    const seconds = secondsLeft();
    if (display) display.textContent = formatTime(seconds);
    attempt.toggleAttribute("data-low", Boolean(display) && seconds <= 60);
    if (display) announce(seconds);
    timer.onTick(seconds);
    if (seconds === 0 || clock.isDoubtful()) checkWithServer();
  }

  function announce(seconds) {
    for (const [threshold, text] of ANNOUNCEMENTS) {
      // Each question is a page of its own; the tab remembers which announcement was made.
      const key = `${end}#${threshold}`;
      if (seconds > threshold || loadValue(key)) continue;
      saveValue(key, "announced");
      if (seconds <= threshold - 50) continue;
      announcement.textContent = text;
      announcedUntil = threshold - ANNOUNCED_SECONDS;
    }
    if (seconds < announcedUntil) announcement.textContent = "";
  }

  // Only the server knows: this device may have slept, or staff may have given more time.
  async function checkWithServer() {
    if (isChecking) return;
    isChecking = true;
    try {
      const headers = { Accept: "application/json" };
      const response = await fetch(attempt.dataset.timeUrl, { headers });
      if (response.ok) sync(await response.json());
      else if (response.status === 409) return timer.onTimeOver();
      else if (secondsLeft() === 0 && response.status < 500) return timer.onTimeOver();
      isChecking = false;
      tick();
    } catch {
      setTimeout(() => (isChecking = false), RETRY_DELAY_MS);
    }
  }

  document.addEventListener("visibilitychange", () => document.hidden || checkWithServer());
  addEventListener("focus", checkWithServer);
  addEventListener("online", checkWithServer);
  setInterval(checkWithServer, POLL_INTERVAL_MS);
  if (display) setUpToggle(attempt, display, announcement);
  tick();
  setInterval(tick, 1000);
  return timer;
}

// Some candidates work better without a running clock. What is announced is shown in its place.
function setUpToggle(attempt, display, announcement) {
  const toggle = attempt.querySelector("[data-time-toggle]");
  function show(isHidden) {
    display.hidden = isHidden;
    announcement.classList.toggle("visually-hidden", !isHidden);
    toggle.textContent = isHidden ? TEXTS.showTime : TEXTS.hideTime;
    saveValue("time-hidden", isHidden ? "yes" : null);
  }
  toggle.hidden = false;
  toggle.addEventListener("click", () => show(!display.hidden));
  show(Boolean(loadValue("time-hidden")));
}
