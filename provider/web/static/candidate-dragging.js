// Dragging with a mouse, a finger or a pen, beside the buttons and menus that do the same.

const EDGE_PX = 70, SCROLL_PX = 12, START_PX = 4;

/**
 * Report the way of a pressed pointer over the page until its release.
 * `drop` gets the place of the release; `cancel` is called without one, as by the Escape key.
 */
function follow(event, { move, drop, cancel }) {
  const listeners = new AbortController(), options = { signal: listeners.signal };
  const start = { x: event.clientX, y: event.clientY };
  let isMoving = false;

  function end(result) {
    listeners.abort();
    result();
  }
  addEventListener("pointermove", (next) => {
    if (next.pointerId !== event.pointerId) return;
    isMoving ||= Math.hypot(next.clientX - start.x, next.clientY - start.y) >= START_PX;
    if (!isMoving) return;
    // What is dropped may belong outside the part of the page that is visible.
    if (next.clientY < EDGE_PX) scrollBy(0, -SCROLL_PX);
    if (next.clientY > innerHeight - EDGE_PX) scrollBy(0, SCROLL_PX);
    move(next.clientX, next.clientY);
  }, options);
  addEventListener("pointerup", (next) => {
    if (next.pointerId === event.pointerId) end(() => (isMoving ? drop(next.clientX, next.clientY) : cancel()));
  }, options);
  addEventListener("pointercancel", (next) => next.pointerId === event.pointerId && end(cancel), options);
  addEventListener("keydown", (next) => next.key === "Escape" && end(cancel), options);
}

function isPrimary(event) {
  return event.isPrimary && event.button === 0;
}

/** Let the entries of `list` be dragged to another place by a handle; `dropped` gets the entry. */
export function setUpListDragging(list, dropped) {
  for (const entry of list.children) {
    const handle = document.createElement("span");
    handle.className = "drag-handle";
    handle.setAttribute("aria-hidden", "true"); // the buttons do the same for everybody else
    handle.textContent = "⠿";
    entry.prepend(handle);
    handle.addEventListener("pointerdown", (event) => {
      if (!isPrimary(event)) return;
      event.preventDefault();
      drag(entry, event);
    });
  }

  function drag(entry, event) {
    const before = [...list.children];
    entry.classList.add("is-dragged");
    follow(event, {
      move: (_, y) => moveTo(entry, y),
      drop: () => {
        entry.classList.remove("is-dragged");
        if (before.some((other, index) => other !== list.children[index])) dropped(entry);
      },
      cancel: () => {
        entry.classList.remove("is-dragged");
        list.append(...before);
      },
    });
  }

  // The neighbours move, so that the dragged entry stays the target of a finger.
  function moveTo(entry, y) {
    let neighbour;
    while ((neighbour = entry.previousElementSibling) && y < middle(neighbour)) entry.after(neighbour);
    while ((neighbour = entry.nextElementSibling) && y > middle(neighbour)) entry.before(neighbour);
  }

  function middle(element) {
    const { top, height } = element.getBoundingClientRect();
    return top + height / 2;
  }
}

/** Let the chips of `bank` be dragged to the lines of a matching question in `form`. */
export function setUpMatching(form) {
  const bank = form.querySelector("[data-matching-bank]");
  if (!bank) return;
  bank.hidden = false;
  bank.querySelectorAll("[data-side]").forEach((chip) => {
    chip.addEventListener("pointerdown", (event) => {
      if (!isPrimary(event)) return;
      event.preventDefault();
      drag(chip, event);
    });
  });
  form.addEventListener("change", showUsed);
  form.addEventListener("standing", showUsed);
  showUsed();

  function drag(chip, event) {
    const copy = chip.cloneNode(true);
    copy.classList.add("is-flying");
    let target = null;
    function clear() {
      copy.remove();
      target?.classList.remove("is-target");
    }
    follow(event, {
      move: (x, y) => {
        if (!copy.isConnected) bank.append(copy);
        copy.style.left = `${x}px`;
        copy.style.top = `${y}px`;
        target?.classList.remove("is-target");
        target = document.elementFromPoint(x, y)?.closest(".matching-pair") ?? null;
        target?.classList.add("is-target");
      },
      drop: () => {
        const pair = target;
        clear();
        if (pair) choose(pair.querySelector("select"), chip.dataset.side);
      },
      cancel: clear,
    });
  }

  function choose(select, side) {
    if (select.value === side) return;
    select.value = side;
    select.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function showUsed() {
    const used = [...form.querySelectorAll(".matching-pair select")].map((select) => select.value);
    bank.querySelectorAll("[data-side]").forEach((chip) => {
      chip.classList.toggle("is-used", used.includes(chip.dataset.side));
    });
  }
}
