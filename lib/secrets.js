'use strict';

// Memory for secrets. V8 has typed arrays of up to 64 bytes among its other objects, which garbage collection
// moves and leaves copies of, and so does whoever asks for their ArrayBuffer; Node cuts other small Buffers from
// a pool. An ArrayBuffer of its own stays where it is until it is wiped.

/** @param {number} length */
function allocate(length) {
  return Buffer.from(new ArrayBuffer(length));
}

/**
 * The bytes of a secret in memory of their own.
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
