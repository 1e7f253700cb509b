'use strict';

// Secrets among arguments: copied into memory that can be wiped, and not shown in errors.

const { invalidArgType, outOfRange } = require('../errors.js');
const { copyOf, wipe } = require('../secrets.js');

/** The bytes of a secret: a copy of our own, added to `copies` to be wiped. */
function checkSecret(value, name, copies) {
  if (typeof value !== 'string' && !(value instanceof Uint8Array))
    throw invalidArgType(name, 'of type string or an instance of Buffer or Uint8Array', value, { secret: true });
  const copy = copyOf(value);
  copies.push(copy);
  return copy;
}

/**
 * The result of `take`, which adds its copies of secrets to the list that it gets; wiped at once if it throws.
 * @template T
 * @param {(copies: Uint8Array[]) => T} take
 * @returns {T & { wipe: () => void }} wipe: to be called when the addon has taken the secrets
 */
function withSecrets(take) {
  const copies = [];
  try {
    return { ...take(copies), wipe: () => wipe(copies) };
  } catch (error) {
    wipe(copies);
    throw error;
  }
}

/**
 * Answers to `count` prompts, or fewer to give up.
 * @returns {{ responses: Uint8Array[], wipe: () => void }}
 */
function checkResponses(value, count) {
  if (!Array.isArray(value)) throw invalidArgType('responses', 'an instance of Array', value, { secret: true });
  if (value.length > count) {
    throw outOfRange('responses.length', `<= ${count}, the number of prompts`, value.length);
  }
  return withSecrets((copies) => ({
    responses: Array.from(value, (element, index) => checkSecret(element, `responses[${index}]`, copies)),
  }));
}

module.exports = { checkResponses, checkSecret, withSecrets };
