/** Elements without innerHTML, so that the name of a file or column never becomes markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Create an HTML element.
 *
 * Attributes: `onclick` and the like take a function; `style` an object of CSS properties (inline
 * style attributes are forbidden by the page's policy, CSSOM is not); `true` is an attribute
 * without a value, and false, null and undefined are none. Children: nodes, texts, numbers, arrays;
 * null, undefined and false are left out.
 */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Create an SVG element, with the arguments of `h`. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Replace the children of an element. */
export function replace(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter(shown));
  return element;
}

/** Scroll up to an element. Unlike scrollIntoView, it does not move the start of Tab. */
export function bringIntoView(element) {
  const { top } = element.getBoundingClientRect();
  if (top < 0) scrollBy({ top: top - 16, behavior: "smooth" });
}

/** Return an id that no other element has, for labels. */
export const unique = (
  (count) => (name) =>
    `${name}-${++count}`
)(0);

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") {
      for (const [property, to] of Object.entries(value)) element.style.setProperty(property, to);
    } else if (value === true) element.setAttribute(name, "");
    else if (shown(value)) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter(shown));
  return element;
}

function shown(value) {
  return value !== null && value !== undefined && value !== false;
}
