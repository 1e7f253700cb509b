'use strict';

/** Any number of characters, in a list of matchers. */
const STAR = Symbol('*');

/**
 * Whether the matchers fit all of a text, one for each character.
 * @param {(symbol | ((character: string) => boolean))[]} matchers
 * @param {string} text
 */
function fits(matchers, text) {
  let at = 0;
  let seen = 0;
  // Where to continue when the last star has to take one more character.
  let star = -1;
  let taken = 0;
  while (seen < text.length) {
    const matcher = matchers[at];
    if (matcher === STAR) {
      star = at++;
      taken = seen;
    } else if (typeof matcher === 'function' && matcher(text[seen])) {
      at++;
      seen++;
    } else if (star >= 0) {
      at = star + 1;
      seen = ++taken;
    } else {
      return false;
    }
  }
  while (matchers[at] === STAR) at++;
  return at === matchers.length;
}

module.exports = { STAR, fits };
