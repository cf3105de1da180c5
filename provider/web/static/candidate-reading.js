// The texts beside a question. Instructions that the candidate closed stay closed; a table or a
// formula that is wider than the screen can be scrolled with the keyboard.

import { loadValue, saveValue } from "./candidate-storage.js";

export function setUpReading() {
  for (const part of document.querySelectorAll("details[data-part]")) {
    const key = `${location.pathname.replace(/[^/]*$/, "")}#${part.dataset.part}`;
    if (loadValue(key)) part.open = false;
    part.addEventListener("toggle", () => saveValue(key, part.open ? null : "closed"));
  }
  for (const wide of document.querySelectorAll(".prose table, .prose .formula-block")) {
    new ResizeObserver(() => {
      if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
      else wide.removeAttribute("tabindex");
    }).observe(wide);
  }
}
