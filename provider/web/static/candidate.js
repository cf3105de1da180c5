// The page of a running test: shows the time left and saves each answer as the candidate gives it.
// Without scripts the same forms are posted, and the server decides when the time is over.

import { sendChosenFile } from "./candidate-file.js";
import { setUpMatching } from "./candidate-dragging.js";
import { setUpOrdering } from "./candidate-ordering.js";
import { setUpReading } from "./candidate-reading.js";
import { watchDevices } from "./candidate-device.js";
import { startSignals } from "./candidate-signals.js";
import { startTimer } from "./candidate-timer.js";
import { startAutosave } from "./candidate-autosave.js";
import { listenForPause } from "./candidate-windows.js";

const attempt = document.querySelector("[data-attempt]");
const form = document.querySelector("form[data-saving]");
const fileForm = document.querySelector("form[data-sending]");

// A page from the browser's back-forward cache may be older than the last saved answer.
addEventListener("pageshow", (event) => event.persisted && location.reload());

setUpReading();
const fileSender = fileForm && sendChosenFile(fileForm);
if (attempt) {
  const timer = startTimer(attempt);
  if (form) setUpOrdering(form);
  if (form) setUpMatching(form);
  const autosave = form && startAutosave(form, timer);
  startSignals(attempt, form, timer);
  const { endUrl } = attempt.dataset;
  const sender = autosave || fileSender;
  timer.onTick = (seconds) => autosave?.showSecondsLeft(seconds);
  timer.onTimeOver = () => (sender ? sender.finish(endUrl) : location.replace(endUrl));
  timer.onReply = watchDevices(attempt);
  listenForPause(endUrl, timer.check);
  // A form that is sent in time may arrive a little late: it says when it was sent.
  for (const element of document.querySelectorAll("form:not([data-saving])")) {
    element.addEventListener("formdata", ({ formData }) => {
      formData.set("given_at", Math.round(timer.now()));
    });
  }
}
