// Elements of the page. Data becomes text and never markup.

/** An element of the page by its id. @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/**
 * Makes an element.
 * @param {string} tag
 * @param {Record<string, any>} [members] what is set of it
 * @param {(Node | string)[]} children
 * @returns {any}
 */
export function make(tag, members = {}, ...children) {
  const element = document.createElement(tag);
  const { dataset = {}, ...rest } = members;
  Object.assign(element, rest);
  Object.assign(element.dataset, dataset);
  element.append(...children);
  return element;
}

/** Sets the text of an element if it is another one. @param {Element} element @param {string} text */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Takes the effect from a button, or gives it back. Unlike a disabled one it keeps the focus.
 * @param {Element} button
 * @param {boolean} isInert
 */
export function setInert(button, isInert) {
  if (isInert) button.setAttribute('aria-disabled', 'true');
  else button.removeAttribute('aria-disabled');
}

/** @param {Element} button */
export const isInert = (button) => button.getAttribute('aria-disabled') === 'true';
