'use strict';

// Blobs of public keys (RFC 4253 section 6.6), as servers and agents know keys.

const { isKeyObject } = require('node:util').types;

const binding = require('./native/load.js');
const { invalidArgType, invalidArgValue } = require('./errors.js');

const uint32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

/** Fields of type string. */
const fields = (...values) =>
  Buffer.concat(values.flatMap((value) => [uint32(Buffer.byteLength(value)), Buffer.from(value)]));

/** A positive number from its digits in base64url, as the content of an mpint. */
function number(text) {
  const digits = Buffer.from(text, 'base64url');
  return digits[0] & 0x80 ? Buffer.concat([Buffer.alloc(1), digits]) : digits;
}

const CURVES = { 'P-256': 'nistp256', 'P-384': 'nistp384', 'P-521': 'nistp521' };

/** The blob of a key of node:crypto; undefined if SSH has no such keys. */
function blobOf(key) {
  let jwk;
  try {
    jwk = key.export({ format: 'jwk' });
  } catch {
    return undefined;
  }
  const { kty, crv, x, y, e, n } = jwk;
  const bytes = (text) => Buffer.from(text, 'base64url');
  if (kty === 'RSA') return fields('ssh-rsa', number(e), number(n));
  if (kty === 'OKP' && crv === 'Ed25519') return fields('ssh-ed25519', bytes(x));
  if (kty !== 'EC' || !Object.hasOwn(CURVES, crv)) return undefined;
  const point = Buffer.concat([Buffer.of(4), bytes(x), bytes(y)]);
  return fields(`ecdsa-sha2-${CURVES[crv]}`, CURVES[crv], point);
}

/** The blob in the line of a public key or certificate; undefined if there is none. */
function blobIn(line) {
  const entry = binding.inspectPublicKey(Buffer.from(line));
  if (entry === null) return undefined;
  const { certificate, publicKey } = entry;
  return certificate ? Buffer.from(certificate.split(' ')[1], 'base64') : publicKey;
}

/**
 * The blob of a public key or certificate: from its line, as bytes, or from a public key of node:crypto.
 * @returns {Uint8Array}
 */
function checkPublicKey(value, name) {
  if (value instanceof Uint8Array) return value;
  // The check of Node.js loads node:crypto.
  const isKey = typeof value === 'object' && isKeyObject(value);
  if (typeof value !== 'string' && !isKey)
    throw invalidArgType(name, 'of type string or an instance of Buffer, Uint8Array or KeyObject', value);
  if (isKey && value.type !== 'public') throw invalidArgValue(name, 'must be a public key', value, { secret: true });
  const blob = isKey ? blobOf(value) : blobIn(value);
  if (blob === undefined) throw invalidArgValue(name, 'must be a public key of a type of SSH', value, { secret: true });
  return blob;
}

module.exports = { checkPublicKey };
