// The number of words of a long answer, below its field.

/** Show the words of the text in `form` whenever it changes. */
export function countWords(form) {
  const text = form.querySelector("textarea");
  const counter = form.querySelector("[data-words]");
  if (!text || !counter) return;

  function show() {
    const number = text.value.split(/\s+/).filter(Boolean).length;
    counter.textContent = counter.dataset.words.replace("{1}", number);
    counter.classList.toggle("is-over", number > Number(counter.dataset.maxWords));
  }

  text.addEventListener("input", show);
  form.addEventListener("standing", show);
  show();
}
