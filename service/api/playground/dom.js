/** Elements without innerHTML: what a file or a caller is named can never become markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An HTML element.
 *
 * Attributes: `onclick` and the like take a function; `style` an object of CSS properties (inline
 * style attributes are forbidden by the page's policy, CSSOM is not); `true` is an attribute
 * without a value, and false, null and undefined are none. Children: nodes, texts, numbers, arrays;
 * null, undefined and false are left out.
 */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An SVG element, as `h`. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Gives an element other children. */
export function replace(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter(shown));
  return element;
}

/** Scrolls up to an element. Unlike scrollIntoView, Tab goes on from where it was. */
export function bringIntoView(element) {
  const { top } = element.getBoundingClientRect();
  if (top < 0) scrollBy({ top: top - 16, behavior: "smooth" });
}

/** An id that no other element has, for labels. */
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
