// A candidate's page while a test is under way: shows the time, saves answers as they are given.
// Nothing here is needed: without scripts the same forms are posted and the server keeps the time.

import { easeReading } from "./candidate-reading.js";
import { keepTime } from "./candidate-time.js";
import { keepSaving } from "./candidate-saving.js";

const attempt = document.querySelector("[data-attempt]");
const form = document.querySelector("form[data-saving]");

// A page that the browser kept from before may be older than what has happened since.
addEventListener("pageshow", (event) => event.persisted && location.reload());

easeReading();
if (attempt) {
  const time = keepTime(attempt);
  const saver = form && keepSaving(form, { onTime: time.sync });
  time.onNearlyOver = () => saver?.flush();
  time.onOver = () => saver?.leave(attempt.dataset.end) ?? location.replace(attempt.dataset.end);
}
