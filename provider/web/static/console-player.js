// The player of an interview: speed, keyboard shortcuts, and notes that seek to their time. The videos
// keep their own controls, so that they work without this script as well.

const BIG_STEP_SECONDS = 10;
const SMALL_STEP_SECONDS = 5;
const KEYS_NAME = "interview shortcuts"; // in the browser's storage: "off", or nothing

const videos = [...document.querySelectorAll("video")];
const tools = document.querySelector("[data-player-tools]");
const speed = tools.querySelector("[data-player-speed]");
const keys = tools.querySelector("[data-player-keys]");
let current = videos[0]; // the video that was played last

function startFrom(video, seconds) {
  current = video;
  // A browser cannot seek before it knows the length.
  const seek = () => (video.currentTime = seconds);
  if (video.readyState) seek();
  else video.addEventListener("loadedmetadata", seek, { once: true });
  video.play().catch(() => {}); // the browser's own controls show why
}

function move(seconds) {
  const end = Number.isFinite(current.duration) ? current.duration : Infinity;
  current.currentTime = Math.min(Math.max(current.currentTime + seconds, 0), end);
}

function toggle() {
  if (current.paused) current.play().catch(() => {});
  else current.pause();
}

function showQuestion(number) {
  const article = document.querySelector(`[data-question="${number}"]`);
  if (!article) return;
  current.pause();
  current = article.querySelector("video") ?? current;
  article.scrollIntoView();
  article.focus({ preventScroll: true });
}

const ACTIONS = {
  j: () => move(-BIG_STEP_SECONDS),
  k: toggle,
  l: () => move(BIG_STEP_SECONDS),
  " ": toggle,
  ArrowLeft: () => move(-SMALL_STEP_SECONDS),
  ArrowRight: () => move(SMALL_STEP_SECONDS),
};

// Fields take every key; a focused button, link or video uses Space and arrows itself.
function isTakenBy(target, key) {
  if (target.closest("input, textarea, select, [contenteditable]")) return true;
  return key.length !== 1 || key === " " ? target.closest("a, button, summary, video") : false;
}

document.addEventListener("keydown", (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const action = /^[1-9]$/.test(key) ? () => showQuestion(key) : ACTIONS[key];
  if (!action || !current || !keys.checked || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.defaultPrevented || isTakenBy(event.target, key)) return;
  event.preventDefault();
  action();
});

for (const video of videos) {
  video.addEventListener("play", () => {
    if (current !== video) current.pause();
    current = video;
    video.playbackRate = Number(speed.value);
  });
}
speed.addEventListener("change", () => videos.forEach((video) => (video.playbackRate = Number(speed.value))));
keys.addEventListener("change", () => {
  if (keys.checked) localStorage.removeItem(KEYS_NAME);
  else localStorage.setItem(KEYS_NAME, "off");
});
for (const link of document.querySelectorAll("[data-seek]")) {
  const video = link.closest(".answer").querySelector("video");
  if (!video) continue;
  link.addEventListener("click", (event) => {
    event.preventDefault();
    startFrom(video, Number(link.dataset.seek));
  });
}
// A note is written about the moment that is shown.
for (const details of document.querySelectorAll(".time-note-form")) {
  details.addEventListener("toggle", () => {
    const video = details.closest(".answer").querySelector("video");
    const time = Math.floor(video?.currentTime ?? 0);
    const field = details.querySelector("[data-current-time]");
    if (!details.open || !time) return;
    video.pause();
    field.value = `${Math.floor(time / 60)}:${String(time % 60).padStart(2, "0")}`;
  });
}
keys.checked = localStorage.getItem(KEYS_NAME) !== "off";
tools.hidden = videos.length === 0;
