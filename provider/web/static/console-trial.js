// The clock of a trial. Nothing is saved; at the end of a limit the server decides what follows.

import { formatTime } from "./candidate-clock.js";
import { startTimer } from "./candidate-timer.js";

const attempt = document.querySelector("[data-attempt]");
const breakLeft = document.querySelector("[data-break-left]");

if (attempt?.querySelector("[data-time-left]")) {
  startTimer(attempt).onTimeOver = () => location.reload();
}
if (breakLeft) {
  const endsAtMs = performance.now() + Number(breakLeft.dataset.breakLeft) * 1000;
  const showLeft = () => {
    const seconds = Math.max(0, (endsAtMs - performance.now()) / 1000);
    breakLeft.textContent = formatTime(seconds);
    if (seconds === 0) location.replace(document.querySelector("[data-go-on]").href);
  };
  setInterval(showLeft, 1000);
  showLeft();
}
