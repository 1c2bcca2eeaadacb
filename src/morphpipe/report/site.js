// The gallery's filters, and what printing needs. Plain, and without a server.
"use strict";

const filters = document.getElementById("filters");

/** Show the conditions and the channel that the filters name. */
function applyFilters() {
  const chosen = Object.fromEntries(new FormData(filters));
  let shown = 0;
  const conditions = document.querySelectorAll(".gallery .condition");
  for (const condition of conditions) {
    const wanted = ["experiment", "cellType", "perturbation"].every(
      (key) => !chosen[key] || condition.dataset[key] === chosen[key],
    );
    let pictures = 0;
    for (const image of condition.querySelectorAll("img")) {
      image.hidden = image.dataset.channel !== chosen.channel;
      pictures += image.hidden ? 0 : 1;
    }
    condition.hidden = !wanted || pictures === 0;
    shown += condition.hidden ? 0 : 1;
  }
  const all = shown === conditions.length ? "" : ` of ${conditions.length}`;
  document.getElementById("shown").textContent = `${shown}${all} conditions`;
  document.getElementById("nothing").hidden = shown > 0;
}

/** Take the filters from the address (gallery.html#cellType=HUVEC&channel=DNA), if it has any. */
function readAddress() {
  const named = new URLSearchParams(location.hash.slice(1));
  for (const [key, value] of named) {
    const field = filters.elements.namedItem(key);
    const isSelect = field instanceof HTMLSelectElement;
    if (isSelect && [...field.options].some((o) => o.value === value)) field.value = value;
  }
  applyFilters();
}

if (filters) {
  filters.addEventListener("change", () => {
    applyFilters();
    const chosen = new URLSearchParams([...new FormData(filters)].filter(([, value]) => value));
    history.replaceState(null, "", `#${chosen}`);
  });
  // The fields have their first values only after the event.
  filters.addEventListener("reset", () => setTimeout(applyFilters));
  window.addEventListener("hashchange", readAddress);
  readAddress();
}

// Paper cannot be unfolded or scrolled.
window.addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
  for (const image of document.querySelectorAll("img[loading=lazy]")) image.loading = "eager";
});
