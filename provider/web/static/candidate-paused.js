// A pause of a test: counts down what is left of it, and opens the question when the pause is over.

import { createServerClock, formatTime, pageArrivedAtMs } from "./candidate-clock.js";
import { tellPause } from "./candidate-windows.js";

const CHECK_INTERVAL_MS = 2000; // between two requests at the end of the pause
const ANNOUNCED_SECONDS = 60;

const pause = document.querySelector("[data-pause-url]");
const display = document.querySelector("[data-pause-left]");
const announcement = document.querySelector("[data-announce]");
const { pauseUrl, statusUrl } = pause.dataset;
const nowMs = Number(pause.dataset.nowMs);
const clock = createServerClock(nowMs, pageArrivedAtMs());
const endsAtMs = nowMs + Number(pause.dataset.secondsLeft) * 1000;
const isLong = endsAtMs - nowMs > ANNOUNCED_SECONDS * 1000;
let isChecking = false;

function tick() {
  const seconds = Math.max(0, (endsAtMs - clock.now()) / 1000);
  display.textContent = formatTime(seconds);
  if (isLong && seconds <= ANNOUNCED_SECONDS && !announcement.textContent) {
    announcement.textContent = announcement.dataset.announce;
  }
  if (seconds === 0 || clock.isDoubtful()) leaveIfOver();
}

// Only the server knows: this device may have slept, or another window has ended the pause.
async function leaveIfOver() {
  if (isChecking) return;
  isChecking = true;
  try {
    const { redirected } = await fetch(pauseUrl, { cache: "no-store" });
    if (redirected || clock.isDoubtful()) return location.replace(pauseUrl);
  } catch {
    // Without a connection the page stays, and asks again.
  }
  setTimeout(() => (isChecking = false), CHECK_INTERVAL_MS);
}

document.addEventListener("visibilitychange", () => document.hidden || leaveIfOver());
addEventListener("pageshow", (event) => event.persisted && location.reload());
tellPause(statusUrl);
tick();
setInterval(tick, 1000);
