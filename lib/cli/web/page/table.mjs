// Tables whose rows are changed in place. A row with the focus is never moved or removed, nor is any row while the pointer
// moves over them: what somebody is about to press stays where it is.

import { make, write } from './dom.mjs';

/** Milliseconds after its last movement for which the pointer holds the rows. */
const HOLD = 3000;
/** Rows of connections that have ended, and are still shown because of the pointer. */
const MAX_GONE = 20;

/**
 * @typedef {object} Column
 * @property {string} label
 * @property {(cell: HTMLElement, item: any) => void} fill shows an item
 * @property {(item: any) => string | number} [order] by what it is sorted
 * @property {boolean} [isNumber] aligned to the right, and sorted from the largest first
 * @property {boolean} [isHeading] the heading of its row
 * @property {string} [kind] a class of its cells
 * @property {(cell: HTMLElement) => void} [gone] shows that the item is there no longer
 */

/** @typedef {{ key: string | number, element: any, cells: any[] }} Row */

/** A cell of text. @param {(item: any) => string} textOf @returns {Column['fill']} */
export const text = (textOf) => (cell, item) => write(cell, textOf(item));

const collator = new Intl.Collator(undefined, { numeric: true });

function compare(one, other) {
  return typeof one === 'number' && typeof other === 'number' ? one - other : collator.compare(one, other);
}

export class Table {
  #table;
  #body = make('tbody');
  #keyOf;
  #empty;
  #more;
  #limit;
  #step;
  /** By key. @type {Map<string | number, Row>} */
  #rows = new Map();
  #items = [];
  /** @type {{ column: Column, isDescending: boolean } | undefined} */
  #sort;
  #pointed = -Infinity;
  /** The key of a row that stays, as that with the focus does. @type {string | number | undefined} */
  kept;

  /**
   * @param {any} table with a caption
   * @param {{ columns: Column[], keyOf: (item: any) => string | number, empty: string, step?: number,
   *   sorts?: boolean }} options empty: the text in place of the table without a row; step: rows that are shown at first,
   *   and more at the press of a button; sorts: whether the heads of its columns sort it
   */
  constructor(table, { columns, keyOf, empty, step = 100, sorts = false }) {
    this.#table = table;
    /** @type {Column[]} */
    this.columns = columns;
    this.#keyOf = keyOf;
    this.#limit = this.#step = step;
    this.#empty = make('p', { className: 'empty', textContent: empty });
    this.#more = make('button', { type: 'button', className: 'more', hidden: true });
    this.#more.addEventListener('click', () => {
      this.#limit += this.#step;
      this.show(this.#items);
    });
    table.append(
      make('thead', {}, make('tr', {}, ...columns.map((column) => this.#heading(column, sorts)))),
      this.#body,
    );
    table.after(this.#empty, this.#more);
    this.#body.addEventListener('pointermove', () => (this.#pointed = performance.now()), { passive: true });
    this.#body.addEventListener('pointerleave', () => {
      this.#pointed = -Infinity;
      this.show(this.#items);
    });
    // The next element has the focus only after this event.
    this.#body.addEventListener('focusout', () => setTimeout(() => this.show(this.#items)));
  }

  /** @param {Column} column @param {boolean} sorts */
  #heading(column, sorts) {
    const heading = make('th', { scope: 'col', className: classOf(column) });
    if (!sorts || column.order === undefined) {
      heading.textContent = column.label;
      return heading;
    }
    const button = make('button', { type: 'button', textContent: column.label });
    button.addEventListener('click', () => this.sortBy(column));
    heading.append(button);
    return heading;
  }

  /** Sorts by a column, in the other direction the second time. @param {Column} column */
  sortBy(column) {
    const isSame = this.#sort?.column === column;
    this.#sort = { column, isDescending: isSame ? !this.#sort.isDescending : Boolean(column.isNumber) };
    const headings = this.#table.tHead.rows[0].cells;
    for (const [at, heading] of [...headings].entries()) {
      if (this.columns[at] !== column) heading.removeAttribute('aria-sort');
      else heading.setAttribute('aria-sort', this.#sort.isDescending ? 'descending' : 'ascending');
    }
    this.#pointed = -Infinity;
    this.show(this.#items);
  }

  /** Shows these items, and no others. */
  show(items) {
    this.#items = items;
    const byKey = new Map(this.#sorted(items).map((item) => [this.#keyOf(item), item]));
    const first = [...byKey.keys()].slice(0, this.#limit);
    const focused = this.#focused();
    const keys = performance.now() - this.#pointed < HOLD ? this.#held(byKey, first) : first;
    for (const key of [focused?.key, this.kept]) this.#insist(keys, key);
    const wanted = new Set(keys);
    for (const [key, row] of this.#rows) {
      if (wanted.has(key)) continue;
      row.element.remove();
      this.#rows.delete(key);
    }
    this.#arrange(
      keys.map((key) => this.#row(key, byKey.get(key))),
      focused,
    );
    const hidden = Math.max(0, items.length - this.#limit);
    this.#more.hidden = hidden === 0;
    write(this.#more, `Show ${Math.min(hidden, this.#step)} of ${hidden} more`);
    this.#empty.hidden = keys.length > 0;
    this.#table.hidden = keys.length === 0;
  }

  #sorted(items) {
    if (this.#sort === undefined) return items;
    const { column, isDescending } = this.#sort;
    const sign = isDescending ? -1 : 1;
    return [...items].sort(
      (a, b) => sign * compare(column.order(a), column.order(b)) || compare(this.#keyOf(a), this.#keyOf(b)),
    );
  }

  /** The row that has the focus. @returns {Row | undefined} */
  #focused() {
    const element = this.#body.contains(document.activeElement) && document.activeElement.closest('tr');
    return element ? [...this.#rows.values()].find((row) => row.element === element) : undefined;
  }

  /** The keys of the rows in the order of the screen, also of some that are there no longer, and then of the new ones. */
  #held(byKey, first) {
    const shown = [...this.#rows.values()].sort((a, b) => a.element.rowIndex - b.element.rowIndex);
    const gone = shown.filter(({ key }) => !byKey.has(key)).slice(MAX_GONE);
    const kept = shown.filter((row) => !gone.includes(row)).map(({ key }) => key);
    return [...new Set([...kept, ...first])];
  }

  /** Keeps a row that would be removed at its place. */
  #insist(keys, key) {
    const row = this.#rows.get(key);
    if (row !== undefined && !keys.includes(key)) keys.splice(row.element.sectionRowIndex, 0, key);
  }

  /** The row of an item, or the one that it had. @returns {Row} */
  #row(key, item) {
    let row = this.#rows.get(key);
    if (row === undefined) {
      const cells = this.columns.map((column) => {
        const cell = make(column.isHeading ? 'th' : 'td', {
          className: classOf(column),
          dataset: { label: column.label },
        });
        if (column.isHeading) cell.scope = 'row';
        return cell;
      });
      row = { key, element: make('tr', {}, ...cells), cells };
      this.#rows.set(key, row);
    }
    row.element.classList.toggle('gone', item === undefined);
    for (const [at, column] of this.columns.entries()) {
      if (item === undefined) column.gone?.(row.cells[at]);
      else column.fill(row.cells[at], item);
    }
    return row;
  }

  /**
   * Brings the rows into this order by moving the others around the one with the focus.
   * @param {Row[]} rows
   * @param {Row} [focused]
   */
  #arrange(rows, focused) {
    let at = this.#body.firstElementChild;
    for (const row of rows) {
      if (row === focused) {
        while (at !== row.element) {
          const next = at.nextElementSibling;
          this.#body.append(at);
          at = next;
        }
      }
      if (row.element === at) at = at.nextElementSibling;
      else this.#body.insertBefore(row.element, at);
    }
  }
}

/** @param {Column} column */
function classOf({ isNumber, kind = '' }) {
  return `${isNumber ? 'number ' : ''}${kind}`.trim();
}
