'use strict';

// Limits of options. The addon has the same ones.

/** Bytes: the range of `windowLimit`, and the defaults of it and of `memoryLimit`. */
const MIN_WINDOW = 128 * 1024;
const MAX_WINDOW = 2 ** 30;
const WINDOW_LIMIT = 16 * 1024 * 1024;
const MEMORY_LIMIT = 2 ** 30;

/** Bytes that one set of keys may carry: the range of `rekey.bytes`. */
const MIN_REKEY_BYTES = 2 ** 20;
const MAX_REKEY_BYTES = 2 ** 36;

/** Bits of RSA keys: the range of `requiredRSASize`. */
const MIN_RSA_BITS = 1024;
const MAX_RSA_BITS = 16_384;

/** The kinds of algorithms, by their names in ssh2, which lacks the last two. */
const ALGORITHM_KINDS = ['kex', 'cipher', 'serverHostKey', 'hmac', 'compress', 'caSignature', 'publicKey'];

module.exports = {
  ALGORITHM_KINDS,
  MAX_REKEY_BYTES,
  MAX_RSA_BITS,
  MAX_WINDOW,
  MEMORY_LIMIT,
  MIN_REKEY_BYTES,
  MIN_RSA_BITS,
  MIN_WINDOW,
  WINDOW_LIMIT,
};
