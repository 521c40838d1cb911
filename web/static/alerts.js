// Queues grow older without anything changing: what is shown of them is asked for anew now and then.
import { refresh } from "/static/live.js";

setInterval(() => { if (!document.hidden) refresh(); }, 10000);
