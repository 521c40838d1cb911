// While anybody of a bulk start isn't decided on, what became of it is asked for anew: who stays out makes no event.
import { refresh } from "./live.js";

const looking = setInterval(() => {
  if (!document.querySelector("[data-undecided]")) clearInterval(looking);
  else if (!document.hidden) refresh();
}, 3000);
