// The page of a running test: shows the time left and saves each answer as the candidate gives it.
// Without scripts the same forms are posted, and the server decides when the time is over.

import { setUpReading } from "./candidate-reading.js";
import { startTimer } from "./candidate-timer.js";
import { startAutosave } from "./candidate-autosave.js";

const attempt = document.querySelector("[data-attempt]");
const form = document.querySelector("form[data-saving]");

// A page from the browser's back-forward cache may be older than the last saved answer.
addEventListener("pageshow", (event) => event.persisted && location.reload());

setUpReading();
if (attempt) {
  const timer = startTimer(attempt);
  const autosave = form && startAutosave(form, { onSecondsLeft: timer.sync });
  const { endUrl } = attempt.dataset;
  timer.onTimeNearlyOver = () => autosave?.flush();
  timer.onTimeOver = () => autosave?.leave(endUrl) ?? location.replace(endUrl);
}
