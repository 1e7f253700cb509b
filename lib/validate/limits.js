'use strict';

// Limits of options, and the names of kinds and methods. Those that the addon depends on are stored there.

/** @type {any} whose enums are objects, which their types hide */
const binding = require('../native/load.js');

const { MAX_HOST, MAX_REMOTE_PATH, MAX_USER, MAX_WINDOW, MEMORY_LIMIT, MIN_WINDOW, WINDOW_LIMIT } = binding;

/** Bytes that one set of keys may carry, the range of `rekey.bytes`: the advice of RFC 4344 for blocks of 16 bytes. */
const MIN_REKEY_BYTES = 2 ** 20;
const MAX_REKEY_BYTES = 2 ** 36;

/** Bits of RSA keys, the range of `requiredRSASize`: those of ssh. */
const MIN_RSA_BITS = 1024;
const MAX_RSA_BITS = 16_384;

/** The kinds of algorithms, by their names in ssh2, which lacks the last two. */
const ALGORITHM_KINDS = Object.values(binding.AlgorithmKind);

/** @type {(kind: string) => string[]} the algorithms of one kind, the preferred first */
const knownAlgorithms = binding.knownAlgorithms;

/** The methods of authentication, in the order of the documentation. */
const AUTH_METHODS = Object.values(binding.AuthMethodName);

module.exports = {
  ALGORITHM_KINDS,
  AUTH_METHODS,
  MAX_HOST,
  MAX_REKEY_BYTES,
  MAX_REMOTE_PATH,
  MAX_RSA_BITS,
  MAX_USER,
  MAX_WINDOW,
  MEMORY_LIMIT,
  MIN_REKEY_BYTES,
  MIN_RSA_BITS,
  MIN_WINDOW,
  WINDOW_LIMIT,
  knownAlgorithms,
};
