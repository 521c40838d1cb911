// The list of customers: filters at once, rows chosen together. Without this the page works by its links and buttons.
import { visit } from "./live.js";

const main = document.querySelector("main");
let wait = null;

const ask = (form, typed = false) => {
  const fields = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value) fields.append(name, value);
  const query = fields.toString();
  visit(query ? `${location.pathname}?${query}` : `${location.pathname}?view=all`, { typed });
};

main.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-visits]");
  if (!form || event.target.type !== "search") return;
  clearTimeout(wait);
  wait = setTimeout(() => ask(form, true), 180);
});
main.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-visits]");
  if (form && event.target.matches("select")) ask(form);
});
main.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-visits]")) return;
  event.preventDefault();
  clearTimeout(wait);
  ask(event.target, document.activeElement?.type === "search");
});

// Whoever goes back has no more to type here.
window.addEventListener("popstate", () => clearTimeout(wait));

// ---- choosing rows ----

const boxes = () => [...document.querySelectorAll("input[name=pick]")];
const tell = () => {
  const told = document.querySelector("[data-picked]");
  const all = document.querySelector("[data-pick-all]");
  if (!told || !all) return;
  const picked = boxes().filter((box) => box.checked).length;
  told.textContent = picked ? `${picked} chosen, or` : "Choose rows, or";
  all.checked = picked > 0 && picked === boxes().length;
  all.indeterminate = picked > 0 && !all.checked;
};
main.addEventListener("change", (event) => {
  if (event.target.matches("[data-pick-all]")) boxes().forEach((box) => { box.checked = event.target.checked; });
  tell();
});
document.addEventListener("holdfast:swapped", tell);

// "/" goes to the search, as in many lists.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
  event.preventDefault();
  document.querySelector("input[type=search]")?.focus();
});
