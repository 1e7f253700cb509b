'use strict';

// Who may use the files of a configuration, as ssh checks it: by the owner and the mode, and on Windows by the owner and
// the access control list.

const fs = require('node:fs');

const binding = require('../native/load.js');

/** Windows: what others than the user, the administrators and the system may do; everything, if that cannot be read. */
const others = (file) => binding.fileAccess(file) ?? { owned: true, used: true, changed: true };

/**
 * Whether ssh does not use a private key because of others who may read it.
 * @param {string} file
 * @param {number} descriptor of the same file
 */
function isExposed(file, descriptor) {
  if (process.platform === 'win32') {
    const { owned, used } = others(file);
    return owned || used;
  }
  const { mode, uid } = fs.fstatSync(descriptor);
  // Of a file that belongs to others, only they know who may read it.
  return uid === process.getuid() && (mode & 0o077) !== 0;
}

/**
 * Whether ssh does not read a configuration because of others who own it or may change it.
 * @param {string} file
 * @param {number} descriptor of the same file
 * @param {number} user
 */
function isForeign(file, descriptor, user) {
  if (process.platform === 'win32') {
    const { owned, changed } = others(file);
    return owned || changed;
  }
  const { mode, uid } = fs.fstatSync(descriptor);
  return (uid !== 0 && uid !== user) || (mode & 0o022) !== 0;
}

module.exports = { isExposed, isForeign };
