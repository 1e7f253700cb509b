'use strict';

// `sshtunnel completion SHELL` prints the script of a shell. The scripts ask this command for what may follow:
// `sshtunnel completion query -- WORD...` prints a line for each candidate, with a tab in front of its description. The
// last word is the one to be completed.
//
//   candidates.js   what may follow the words of a command line; values.js: the values of flags
//   sshtunnel.bash, sshtunnel.zsh, sshtunnel.fish   the scripts

const fs = require('node:fs');
const path = require('node:path');

const { UsageError } = require('../arguments.js');
const { ROOT } = require('../root.js');
const { SHELLS } = require('./values.js');

/** What may follow, as lines; nothing if the files cannot be read. */
function query(words) {
  const { candidates } = require('./candidates.js');
  return candidates(words)
    .map(({ value, text = '' }) => `${value}\t${text}\n`)
    .join('');
}

/** @param {string[]} argv @returns {Promise<number>} the exit status */
async function run([what, ...rest]) {
  if (what === 'query' && rest[0] === '--') {
    process.stdout.write(query(rest.slice(1)));
    return 0;
  }
  if (!SHELLS.includes(what) || rest.length > 0) throw new UsageError(`completion is for one of: ${SHELLS.join(', ')}`);
  process.stdout.write(fs.readFileSync(path.join(ROOT, 'lib', 'cli', 'completion', `sshtunnel.${what}`), 'utf8'));
  return 0;
}

module.exports = { run };
