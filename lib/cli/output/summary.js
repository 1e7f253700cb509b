'use strict';

// What a run has done, in one line.

const { amount, count, duration } = require('./text.js');

/** How many connections there were, and what became of them. @param {import('../monitor.js').Monitor['totals']} totals */
function outcome({ ended, failed, cut, lost }) {
  if (ended === 0) return 'no connections';
  const parts = [count(ended, 'connection')];
  if (failed > 0) parts.push(`${failed} failed`);
  parts.push(cut > 0 ? `${cut} cut` : 'none cut');
  if (lost > 0) parts.push(`${amount(lost)} lost`);
  return parts.join(', ');
}

/**
 * @param {import('../monitor.js').Monitor['totals']} totals
 * @param {number} upTime milliseconds with a session
 */
function summary(totals, upTime) {
  return `${outcome(totals)}; up for ${duration(upTime)}`;
}

module.exports = { outcome, summary };
