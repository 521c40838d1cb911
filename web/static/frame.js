// The frame of every page: on a narrow screen the entry that one is at is in sight; a refusal is told once; menus close.

for (const nav of document.querySelectorAll("nav.main, .tabs")) {
  const here = nav.querySelector("[aria-current]");
  if (!here || nav.scrollWidth <= nav.clientWidth) continue;
  const [outer, inner] = [nav.getBoundingClientRect(), here.getBoundingClientRect()];
  nav.scrollLeft += inner.left - outer.left - (outer.width - inner.width) / 2;
}

// Loading the page again doesn't tell it again.
const address = new URL(location.href);
if (address.searchParams.has("refused")) {
  address.searchParams.delete("refused");
  history.replaceState(history.state, "", address);
}

// A page that answered a form can't be asked for again: whoever reloads it or comes back to it is where the form was.
const origin = document.querySelector("main[data-origin]")?.dataset.origin;
if (origin) history.replaceState(history.state, "", origin);

// A menu closes by Escape, which leads back to its button, and by a click elsewhere.
const openMenus = () => [...document.querySelectorAll("details.menu[open]")];
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented) return;
  const menu = document.activeElement?.closest("details.menu[open]") ?? openMenus()[0];
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
document.addEventListener("click", (event) => {
  for (const menu of openMenus()) if (!menu.contains(event.target)) menu.open = false;
});

// ---- forms whose answer is a page: what was typed isn't lost when they are refused, or can't be sent ----

const KEPT = "holdfast-typed";
const isTyped = (field) => field.name && !["hidden", "password", "file", "submit", "button"].includes(field.type);
const warn = (told) => {
  const alert = document.createElement("p");
  alert.className = "told bad";
  alert.setAttribute("role", "alert");
  alert.dataset.flash = "";
  document.querySelectorAll("[data-flash]").forEach((one) => one.remove());
  document.getElementById("main")?.prepend(alert);
  alert.textContent = told;
  alert.scrollIntoView({ block: "nearest" });
};
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (!navigator.onLine) {
    event.preventDefault();
    warn("This device is offline: nothing was sent. What you wrote is still here; try again once it is back.");
    return;
  }
  const fields = [...form.elements].filter(isTyped).map((one) => [one.name, one.type === "checkbox" || one.type === "radio" ? one.checked : one.value]);
  sessionStorage.setItem(KEPT, JSON.stringify({ action: form.getAttribute("action"), fields }));
});
const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
sessionStorage.removeItem(KEPT);
if (kept?.action && document.querySelector(".told.bad[data-flash]")) {
  const form = [...document.forms].find((one) => one.getAttribute("action") === kept.action);
  const fields = form ? [...form.elements].filter(isTyped) : [];
  // Another form of the same place has other fields.
  if (fields.length && fields.length === kept.fields.length && fields.every((one, at) => one.name === kept.fields[at][0])) {
    fields.forEach((one, at) => { if (typeof kept.fields[at][1] === "boolean") one.checked = kept.fields[at][1]; else one.value = kept.fields[at][1]; });
    for (let around = form.closest("details"); around; around = around.parentElement.closest("details")) around.open = true;
  }
}
