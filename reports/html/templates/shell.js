// Folds open where a link leads into them, and for print.
"use strict";

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
}

let opened = [];
addEventListener("hashchange", openTarget);
addEventListener("click", (event) => {
  // A link to where the page already is changes no hash.
  if (event.target.closest?.("a[href^='#']")) setTimeout(openTarget);
});
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const each of opened) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of opened) each.open = false;
});
openTarget();
