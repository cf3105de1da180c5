// Writes each time in the browser's zone, with how long that is from now. Without this script the
// page has the times in the zone that the server knows, with its name.

const MINUTE_SECONDS = 60;
const HOUR_SECONDS = 3600;
const DAY_SECONDS = 86400;
const MIN_DAYS = 2; // below, the distance is in hours

const pageLanguage = document.documentElement.lang;
// The reader's variant of the page's language: it decides about 18:00 or 6 PM.
const locale = navigator.languages.find((name) => name.split("-")[0] === pageLanguage) ?? pageLanguage;
const distance = new Intl.RelativeTimeFormat(locale, { numeric: "always" });
const presentDistance = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
const loadedAtMs = Date.now();

/** Return the date and the time; the year where it is another one than now. */
function formatMoment(moment, now) {
  const isThisYear = moment.getFullYear() === now.getFullYear();
  const day = { weekday: "long", day: "numeric", month: "long", ...(isThisYear ? {} : { year: "numeric" }) };
  const date = moment.toLocaleDateString(locale, day);
  const time = moment.toLocaleTimeString(locale, { timeStyle: "short" });
  return `${date}, ${time}`;
}

/** Return the distance in whole units, the smaller number: a deadline is never nearer than it says. */
function formatDistance(seconds) {
  const size = Math.abs(seconds);
  if (size < MINUTE_SECONDS) return presentDistance.format(0, "second"); // "now"
  if (size >= MIN_DAYS * DAY_SECONDS) return distance.format(Math.trunc(seconds / DAY_SECONDS), "day");
  if (size >= HOUR_SECONDS) return distance.format(Math.trunc(seconds / HOUR_SECONDS), "hour");
  return distance.format(Math.trunc(seconds / MINUTE_SECONDS), "minute");
}

function writeTimes() {
  for (const element of document.querySelectorAll("time[data-now]")) {
    const moment = new Date(element.dateTime);
    const now = new Date(Date.parse(element.dataset.now) + Date.now() - loadedAtMs);
    element.textContent = `${formatMoment(moment, now)} (${formatDistance((moment - now) / 1000)})`;
  }
}

writeTimes();
setInterval(writeTimes, MINUTE_SECONDS * 1000);
