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

// ---- choosing rows: who was chosen stays so on the next page, and while one looks for others ----

const bulk = document.getElementById("bulk");
const chosen = new Set();
const boxes = () => [...document.querySelectorAll("input[name=pick][type=checkbox]")];
const tell = () => {
  const told = document.querySelector("[data-picked]");
  const all = document.querySelector("[data-pick-all]");
  if (!told || !bulk) return;
  const shown = boxes();
  const picked = shown.filter((box) => box.checked).length;
  const elsewhere = chosen.size - picked;
  told.textContent = !chosen.size ? "Choose rows, or" : `${chosen.size} chosen${elsewhere ? `, ${elsewhere} of them not shown here` : ""}, or`;
  bulk.querySelector("[data-unpick]")?.toggleAttribute("hidden", !chosen.size);
  if (!all) return;
  all.checked = picked > 0 && picked === shown.length;
  all.indeterminate = picked > 0 && !all.checked;
};
const read = () => boxes().forEach((box) => (box.checked ? chosen.add(box.value) : chosen.delete(box.value)));
const write = () => { boxes().forEach((box) => { box.checked = chosen.has(box.value); }); tell(); };
main.addEventListener("change", (event) => {
  if (event.target.matches("[data-pick-all]")) boxes().forEach((box) => { box.checked = event.target.checked; });
  else if (!event.target.matches("input[name=pick]")) return;
  read();
  tell();
});
main.addEventListener("click", (event) => {
  if (!event.target.closest("[data-unpick]")) return;
  chosen.clear();
  write();
});
bulk?.addEventListener("formdata", (event) => {
  const there = new Set(boxes().map((box) => box.value));
  for (const one of chosen) if (!there.has(one)) event.formData.append("pick", one);
});
document.addEventListener("holdfast:swapped", write);
// A browser that comes back to this page brings back what was ticked on it.
window.addEventListener("pageshow", () => { read(); tell(); });

// "/" goes to the search, as in many lists.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
  event.preventDefault();
  document.querySelector("input[type=search]")?.focus();
});
