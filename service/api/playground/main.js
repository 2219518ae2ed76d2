/** The shell: navigation made from the service's schema; the hash selects one panel. */

import * as api from "./api.js";
import { h, replace } from "./dom.js";
import { failure, notice } from "./notices.js";
import { tasksOf } from "./schema.js";

const main = document.getElementById("panel");
const navigation = document.getElementById("navigation");

const PANELS = {
  pictures: () => import("./panels/pictures.js"),
  row: () => import("./panels/row.js"),
  table: () => import("./panels/table.js"),
  models: () => import("./panels/models.js"),
};

/** All places: {hash, title, panel, task}. */
function placesOf(tasks) {
  return [
    ...tasks.map((task) => ({ hash: task.name, title: task.title, panel: task.kind, task })),
    tasks.some((task) => task.batch) && { hash: "rows", title: "Many rows", panel: "table" },
    { hash: "models", title: "Models", panel: "models" },
  ].filter(Boolean);
}

/** Scroll navigation that is wider than the screen. (scrollIntoView would move the start of Tab.) */
function centre(link) {
  const list = navigation.firstElementChild;
  list.scrollLeft = link.offsetLeft - list.offsetLeft - (list.clientWidth - link.offsetWidth) / 2;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a literal percent sign
  }
}

async function start() {
  let schema;
  try {
    schema = await api.get("openapi.json");
  } catch (error) {
    replace(main, failure(error));
    return;
  }
  const tasks = tasksOf(schema);
  const places = placesOf(tasks);
  const links = places.map(({ hash, title }) => h("a", { href: `#${hash}` }, title));
  replace(
    navigation,
    h(
      "ul",
      {},
      links.map((link) => h("li", {}, link)),
    ),
  );
  let unmount;
  let turn = 0;

  async function go({ first = false } = {}) {
    const [hash, ...rest] = decoded(location.hash.slice(1)).split("/");
    const place = hash ? places.find((one) => one.hash === hash) : places[0];
    const mine = ++turn;
    unmount?.();
    unmount = undefined;
    links.forEach((link, at) => {
      if (places[at] === place) {
        link.setAttribute("aria-current", "page");
        centre(link);
      } else link.removeAttribute("aria-current");
    });
    document.title = place ? `${place.title} · Foretell` : "Foretell";
    const root = h("div", { class: `panel ${place?.panel ?? ""}` });
    replace(main, root);
    if (!first) main.focus({ preventScroll: true });
    if (!place) {
      root.append(notice(`There is nothing called ${hash} here.`));
      return;
    }
    const argument = rest.join("/");
    try {
      const { mount } = await PANELS[place.panel]();
      if (mine !== turn) return; // another panel was opened meanwhile
      unmount = mount(root, { task: place.task, tasks, schema, api, argument });
    } catch (error) {
      root.append(failure(error));
      throw error;
    }
  }

  addEventListener("hashchange", () => go());
  await go({ first: true });
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash names the panel: it must not become #panel
  main.focus();
});

await start();
