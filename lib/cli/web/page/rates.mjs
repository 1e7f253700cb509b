// Rates as pictures: small bars in tables, and lines of the last minute. The numbers beside them say the same.

import { make, write } from './dom.mjs';
import { amount } from './text.mjs';

/** Bytes per second that fill a bar, at least: a trickle is a short one. */
const MIN_FULL = 64 * 1024;
/** Values of a line. */
const VALUES = 60;
const HEIGHT = 24;

/** A rate as text. @param {number} rate bytes per second */
export const rateText = (rate) => `${amount(Math.round(rate))}/s`;

/** The scale of the bars of a table. */
export class Scale {
  #full = MIN_FULL;

  /** Takes the largest rate of all as a full bar. @param {number[]} rates */
  fit(rates) {
    this.#full = rates.reduce((most, rate) => Math.max(most, rate), MIN_FULL);
  }

  /**
   * Shows a rate as a number and a bar. The bar has the square root, so that small rates are seen.
   * @param {any} cell
   * @param {number} rate
   */
  fill(cell, rate) {
    if (cell.childElementCount === 0) {
      const bar = make('span', { className: 'bar' }, make('span'));
      bar.setAttribute('aria-hidden', 'true');
      cell.append(make('span', { className: 'value' }), bar);
    }
    const [value, bar] = cell.children;
    write(value, rateText(rate));
    bar.firstElementChild.style.inlineSize = `${Math.round(100 * Math.sqrt(rate / this.#full))}%`;
  }
}

/** A line of the last minute in an SVG element. */
export class Line {
  #path;
  #values = [];

  /** @param {Element} picture an svg */
  constructor(picture) {
    picture.setAttribute('viewBox', `0 0 ${VALUES - 1} ${HEIGHT}`);
    picture.setAttribute('preserveAspectRatio', 'none');
    this.#path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    picture.append(this.#path);
  }

  /** Adds the value of a second. @param {number} value */
  push(value) {
    this.#values.push(value);
    if (this.#values.length > VALUES) this.#values.shift();
    const full = Math.max(MIN_FULL, ...this.#values);
    const start = VALUES - this.#values.length;
    const points = this.#values.map(
      (it, at) => `${start + at} ${(HEIGHT - 1 - (it / full) * (HEIGHT - 2)).toFixed(1)}`,
    );
    this.#path.setAttribute('d', `M${points.join('L')}`);
  }
}
