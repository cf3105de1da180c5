// Counts down the seconds of one part of a question, and announces only a few of them.

/**
 * Count `seconds` down in `root`. `warnings` are pairs of the seconds left and the text that a
 * screen reader hears then, the earliest first. `onEnd` is called at zero unless the countdown is
 * stopped before.
 */
export function countDown(root, seconds, { label, warnings, onEnd }) {
  const display = root.querySelector("[data-time]");
  const labelElement = root.querySelector("[data-time-label]");
  const announcement = root.querySelector("[data-announce]");
  const dueWarnings = warnings.filter(([second]) => second < seconds);
  const endsAt = performance.now() + seconds * 1000;
  labelElement.textContent = label;

  function tick() {
    const secondsLeft = Math.max(0, (endsAt - performance.now()) / 1000);
    display.textContent = formatTime(secondsLeft);
    root.toggleAttribute("data-low", secondsLeft <= 10);
    if (secondsLeft <= dueWarnings[0]?.[0]) announcement.textContent = dueWarnings.shift()[1];
    if (secondsLeft > 0) return;
    stop();
    onEnd();
  }

  function stop() {
    clearInterval(timer);
    display.textContent = "";
    labelElement.textContent = "";
    root.removeAttribute("data-low");
  }

  const timer = setInterval(tick, 200);
  tick();
  return { stop };
}

function formatTime(seconds) {
  const whole = Math.ceil(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
