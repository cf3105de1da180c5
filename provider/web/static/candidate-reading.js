// What is read beside a question: instructions that stay closed once closed, tables that can be
// scrolled by keyboard where they are wider than the screen.

import { recall, remember } from "./candidate-memory.js";

export function easeReading() {
  for (const part of document.querySelectorAll("details[data-part]")) {
    const key = `${location.pathname.replace(/[^/]*$/, "")}#${part.dataset.part}`;
    if (recall(key)) part.open = false;
    part.addEventListener("toggle", () => remember(key, part.open ? null : "closed"));
  }
  for (const table of document.querySelectorAll(".prose table")) {
    new ResizeObserver(() => {
      if (table.scrollWidth > table.clientWidth) table.tabIndex = 0;
      else table.removeAttribute("tabindex");
    }).observe(table);
  }
}
