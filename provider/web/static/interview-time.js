// Counts the seconds of one part of a question down, and says so at a few moments only.

/** Count `seconds` down in `root`; `onOver` is called at the end unless it is stopped before. */
export function countDown(root, seconds, { word, warnAt, before, onOver }) {
  const shown = root.querySelector("[data-time]");
  const said = root.querySelector("[data-announce]");
  const warnings = warnAt.filter((moment) => moment < seconds);
  const ends = performance.now() + seconds * 1000;
  root.querySelector("[data-time-word]").textContent = word;

  function tick() {
    const left = Math.max(0, (ends - performance.now()) / 1000);
    shown.textContent = written(left);
    root.toggleAttribute("data-low", left <= 10);
    if (left <= warnings[0]) said.textContent = `${warnings.shift()} seconds ${before}`;
    if (left > 0) return;
    stop();
    onOver();
  }

  function stop() {
    clearInterval(timer);
    shown.textContent = "";
    root.querySelector("[data-time-word]").textContent = "";
    root.removeAttribute("data-low");
  }

  const timer = setInterval(tick, 200);
  tick();
  return { stop };
}

function written(seconds) {
  const whole = Math.ceil(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
