// Interruptions of camera or microphone while they are in use: a call, another program, a dark screen.

const MIN_HIDDEN_MS = 2000; // a shorter look at something else leaves no gap

function hasPicture(stream) {
  return stream.getVideoTracks().length > 0;
}

/**
 * Watch the tracks of `stream` and this page until `stop()`. `onChange` gets the names of what is
 * wrong now: `mutedSound`, `mutedPicture`. `stop` returns the names of all that happened, `left`
 * (this page was not visible), `rotated` and `ended` (a track ended for good) included.
 */
export function watchInterruptions(stream, onChange) {
  const present = new Set();
  const past = new Set();
  const controller = new AbortController();
  const { signal } = controller;
  let hiddenSince = document.hidden ? performance.now() : null;

  function set(name, isPresent) {
    present.delete(name);
    if (isPresent) {
      present.add(name);
      past.add(name);
    }
    onChange([...present], [...past]);
  }

  function checkVisibility() {
    if (hiddenSince !== null && performance.now() - hiddenSince >= MIN_HIDDEN_MS) past.add("left");
    hiddenSince = document.hidden ? performance.now() : null;
    onChange([...present], [...past]);
  }

  for (const track of stream.getTracks()) {
    const name = track.kind === "audio" ? "mutedSound" : "mutedPicture";
    if (track.muted) set(name, true);
    track.addEventListener("mute", () => set(name, true), { signal });
    track.addEventListener("unmute", () => set(name, false), { signal });
    track.addEventListener("ended", () => past.add("ended"), { signal });
  }
  document.addEventListener("visibilitychange", checkVisibility, { signal });
  function noteRotation() {
    past.add("rotated");
    onChange([...present], [...past]);
  }
  if (hasPicture(stream)) screen.orientation?.addEventListener("change", noteRotation, { signal });

  return {
    stop() {
      controller.abort();
      checkVisibility();
      return [...past];
    },
  };
}
