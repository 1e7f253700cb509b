// What came of regress scripts, in words and as a table.

import { SCRIPTS_NOT_RUN, byDesign, known, unmet } from './scripts.mjs';

const count = (number, word) => `${number} ${word}${number === 1 ? '' : 's'}`;

/** Reasons of one kind that are named at most. */
const MAX_REASONS = 4;

/** Reasons with how often they are there, such as "3 checks: forced commands; 1 check: terminals". */
function counted(reasons) {
  const counts = new Map();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const parts = Array.from(counts, ([reason, number]) => `${count(number, 'check')}: ${reason}`);
  const left = parts.splice(MAX_REASONS).length;
  return [...parts, ...(left > 0 ? [`and ${left} more`] : [])].join('; ');
}

/**
 * What the result of a script means.
 * @param {string} name
 * @param {import('./run.mjs').Result} result
 * @returns {{ name: string, how: string, calls: number, passed: boolean, words: string, notes: string[] }}
 */
export function judge(name, { code, late, skipped, failures, calls, seconds }) {
  // test-exec.sh itself asks for the names of key types twice.
  const own = calls.slice(2);
  const help = own.filter(({ how }) => how !== 'unchanged').length;
  const allowed = failures.map((failure) => byDesign(name, failure));
  const wrong = failures.filter((_, at) => allowed[at] === undefined);
  const said = wrong.map((failure) => known(name, failure) ?? `${failure.context}: ${failure.fail}`);
  if (late) said.push(`not over after ${Math.round(seconds)} s`);
  else if (code !== 0 && failures.length === 0) said.push(`exit status ${code}`);
  const passed = said.length === 0;
  const reasons = counted(allowed.filter((why) => why !== undefined));
  let words = passed ? 'passes' : `**fails**: ${counted(said)}`;
  if (passed && skipped !== undefined) words = `skips itself: ${skipped}`;
  else if (reasons !== '') words += `${passed ? ' but for' : '; by design'} ${reasons}`;
  return {
    name,
    how: help === 0 ? 'unchanged' : 'with the shim',
    calls: own.length,
    passed,
    words,
    notes: unmet(name, failures).map((why) => `does not fail any more: ${why}`),
  };
}

const cell = (text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

/** The section of docs/interop.md. */
export function report(judgments, version, date) {
  const rows = judgments.map(({ name, how, calls, words }) => `| ${name} | ${how} | ${calls} | ${cell(words)} |`);
  const passed = judgments.filter(({ passed }) => passed).length;
  const left = Object.entries(SCRIPTS_NOT_RUN);
  const names = left.flatMap(([, list]) => list);
  return [
    `On ${date}, openssh-tests ${version}: ${passed} of ${judgments.length} scripts pass; ${names.length} are not applicable.`,
    '',
    '| script | run | calls of ssh | result |',
    '|---|---|---|---|',
    ...rows,
    '',
    '| not applicable | because |',
    '|---|---|',
    ...left.map(([why, list]) => `| ${list.join(', ')} | ${cell(why)} |`),
  ].join('\n');
}
