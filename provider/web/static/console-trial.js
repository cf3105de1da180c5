// The clock of a trial. Nothing is saved; at the end of a limit the server decides what follows.

import { startTimer } from "./candidate-timer.js";

const attempt = document.querySelector("[data-attempt]");
if (attempt?.querySelector("[data-time-left]")) {
  startTimer(attempt).onTimeOver = () => location.reload();
}
