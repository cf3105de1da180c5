// The time that is left, by the server's clock: told in seconds, counted down here.

import { recall, remember } from "./candidate-memory.js";

const ANNOUNCED = [
  [300, "5 minutes left"],
  [60, "1 minute left"],
];
const RETRY = 2000; // milliseconds between two tries to reach the server when time seems over

/** Count down in `attempt`; `sync(seconds)` corrects it, `onOver` is called when time is over. */
export function keepTime(attempt) {
  const shown = attempt.querySelector("[data-time-left]");
  const said = attempt.querySelector("[data-announce]");
  const keeper = { sync, onNearlyOver() {}, onOver() {} };
  let ends = 0;
  let asking = false;

  function sync(seconds) {
    ends = Date.now() + seconds * 1000;
  }

  function left() {
    return Math.max(0, (ends - Date.now()) / 1000);
  }

  function tick() {
    const seconds = left();
    if (shown) shown.textContent = written(seconds);
    attempt.toggleAttribute("data-low", Boolean(shown) && seconds <= 60);
    if (shown) announce(seconds);
    if (seconds <= 3) keeper.onNearlyOver();
    if (seconds === 0) askWhetherOver();
  }

  function announce(seconds) {
    for (const [threshold, words] of ANNOUNCED) {
      // Each question is a page of its own: what one has said, the next does not repeat.
      const key = `${attempt.dataset.attempt}#${threshold}`;
      if (seconds > threshold || recall(key)) continue;
      remember(key, "said");
      if (seconds > threshold - 50) said.textContent = words;
    }
  }

  // Only the server knows: this device's clock may have been set, or staff may have given time.
  async function askWhetherOver() {
    if (asking) return;
    asking = true;
    try {
      const answer = await fetch(attempt.dataset.time, { headers: { Accept: "application/json" } });
      if (answer.ok) sync((await answer.json()).seconds_left);
      else if (answer.status < 500) keeper.onOver();
      asking = false;
    } catch {
      setTimeout(() => (asking = false), RETRY);
    }
  }

  sync(Number(attempt.dataset.secondsLeft) - secondsSinceAnswer());
  tick();
  setInterval(tick, 1000);
  return keeper;
}

function secondsSinceAnswer() {
  const [navigation] = performance.getEntriesByType("navigation");
  return navigation ? Math.max(0, performance.now() - navigation.responseStart) / 1000 : 0;
}

function written(seconds) {
  const whole = Math.ceil(seconds);
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = `${two(minutes)}:${two(whole % 60)}`;
  return hours ? `${hours}:${rest}` : rest.replace(/^0(?=\d:)/, "");
}
