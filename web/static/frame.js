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
