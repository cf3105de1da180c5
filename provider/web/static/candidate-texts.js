// The texts of this page's scripts, in the language of the page.

export const TEXTS = JSON.parse(document.querySelector("script[data-texts]").textContent);
