import { h } from "../dom.js";

export function mount(root, { task }) {
  root.append(h("h1", {}, task.title));
}
