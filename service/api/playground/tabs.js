/** Tabs, by the ARIA pattern: arrow keys move between them, Tab leaves them. */

import { h, unique } from "./dom.js";

/** Create tabs of `pages`, {title, content} with a node as content; the first is open. */
export function tabs(label, pages) {
  const parts = pages.map(({ title, content }, place) => {
    const [tabId, panelId] = [unique("tab"), unique("tabpanel")];
    const tab = h(
      "button",
      {
        type: "button",
        role: "tab",
        id: tabId,
        "aria-controls": panelId,
        onclick: () => open(place),
        onkeydown: (event) => move(event, place),
      },
      title,
    );
    const panel = h("div", { role: "tabpanel", id: panelId, "aria-labelledby": tabId }, content);
    return { tab, panel };
  });

  function open(chosen) {
    parts.forEach(({ tab, panel }, place) => {
      tab.setAttribute("aria-selected", place === chosen);
      tab.tabIndex = place === chosen ? 0 : -1;
      panel.hidden = place !== chosen;
    });
  }

  function move(event, place) {
    const last = parts.length - 1;
    const to = {
      ArrowRight: place === last ? 0 : place + 1,
      ArrowLeft: place === 0 ? last : place - 1,
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    open(to);
    parts[to].tab.focus();
  }

  open(0);
  return h(
    "div",
    { class: "tabs" },
    h(
      "div",
      { role: "tablist", "aria-label": label },
      parts.map(({ tab }) => tab),
    ),
    parts.map(({ panel }) => panel),
  );
}
