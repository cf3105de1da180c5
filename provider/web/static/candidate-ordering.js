// The options of an ordering question: the buttons move them without a new page. Without scripts the
// same buttons send the form, and the server moves the option.

import { setUpListDragging } from "./candidate-dragging.js";

/** Let the buttons of a list in `form` move its options. Each move is a change of the form. */
export function setUpOrdering(form) {
  const list = form.querySelector("[data-ordering]");
  if (!list) return;
  const announcement = form.querySelector("[data-ordering-announce]");

  function placeField(option) {
    return option.querySelector("input");
  }

  function announce(option) {
    const text = option.querySelector(".ordering-text").textContent;
    announcement.textContent = list.dataset.place
      .replace("{1}", [...list.children].indexOf(option) + 1)
      .replace("{2}", list.children.length)
      .replace("{3}", text);
  }

  function writePlaces() {
    [...list.children].forEach((option, index) => (placeField(option).value = index + 1));
    form.querySelector("[data-ordering-keep]")?.remove();
    list.dispatchEvent(new Event("change", { bubbles: true }));
  }

  // The neighbour moves, so that the pressed button keeps the focus.
  function move(option, direction) {
    const isUp = direction === "up";
    const neighbour = isUp ? option.previousElementSibling : option.nextElementSibling;
    if (neighbour && isUp) option.after(neighbour);
    else if (neighbour) option.before(neighbour);
    announce(option);
  }

  form.addEventListener("click", (event) => {
    const button = event.target.closest("button[name=move]");
    if (!button) return;
    event.preventDefault();
    const [direction] = button.value.split(" ");
    if (direction !== "keep") move(button.closest("li"), direction);
    writePlaces();
  });
  setUpListDragging(list, (option) => {
    announce(option);
    writePlaces();
  });
  // Another answer was written into the fields.
  form.addEventListener("standing", () => {
    const options = [...list.children].filter((option) => placeField(option).value);
    options.sort((a, b) => placeField(a).value - placeField(b).value);
    list.append(...options);
  });
}
