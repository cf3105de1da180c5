// On the pages between the questions: answers that this device has kept and not sent yet, and saved
// answers that the server finds broken.

import { watchChecks } from "./interview-checked.js";
import { listKeptQuestions } from "./interview-store.js";

const notice = document.querySelector("[data-unsent]");

async function showUnsent() {
  const [question] = await listKeptQuestions(notice.dataset.unsent);
  if (!question) return;
  notice.querySelector("a").href = question;
  notice.hidden = false;
}

showUnsent();
watchChecks(() => location.reload());
