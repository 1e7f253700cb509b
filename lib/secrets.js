'use strict';

// Memory for secrets. V8 has typed arrays of up to 64 bytes on its heap, where garbage collection moves them and leaves
// copies, and Node.js cuts other small Buffers from a pool. A separate ArrayBuffer stays where it is until it is wiped.

/** @param {number} length */
function allocate(length) {
  return Buffer.from(new ArrayBuffer(length));
}

/**
 * A copy of a secret, in memory that can be wiped.
 * @param {string | Uint8Array} secret
 */
function copyOf(secret) {
  if (typeof secret !== 'string') {
    const copy = allocate(secret.length);
    copy.set(secret);
    return copy;
  }
  const copy = allocate(Buffer.byteLength(secret));
  copy.write(secret);
  return copy;
}

/** Overwrites secrets. @param {Iterable<Uint8Array>} secrets */
function wipe(secrets) {
  for (const secret of secrets) secret.fill(0);
}

module.exports = { allocate, copyOf, wipe };
