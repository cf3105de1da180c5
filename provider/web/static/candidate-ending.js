// The time is over: opens the status again once the answers are submitted.

const MAX_WAIT_MS = 15000;
const link = document.querySelector("[data-reload-seconds]");
const waitMs = Math.min(Number(link.dataset.reloadSeconds) * 1000 + 500, MAX_WAIT_MS);
setTimeout(() => location.replace(link.href), waitMs);
