'use strict';

// The key files of a configuration: which can be used, and why the others cannot.

const fs = require('node:fs');

const binding = require('../native/load.js');
const { allocate, wipe } = require('../secrets.js');
const { expandPath } = require('./tokens.js');

/** Key files without an IdentityFile, in OpenSSH's order. */
const DEFAULTS = ['id_rsa', 'id_ecdsa', 'id_ecdsa_sk', 'id_ed25519', 'id_ed25519_sk'];

/** Bytes of the line of a public key: one of RSA with 16384 bits has 3 KiB. */
const MAX_LINE = 16_384;

/** Bytes to begin with for a private key file: one of RSA with 16384 bits has 12 KiB. */
const FILE_BYTES = 16_384;

/**
 * @param {import('./reader.js').Reader} reader
 * @param {Uint8Array | undefined} passphrase of encrypted keys
 * @param {(setting: object, reason: string, options?: { locked?: boolean }) => void} notice
 * @param {Uint8Array[]} secrets gets the bytes of private keys, to be wiped
 * @returns {{ keys: object[], publicKeys: string[], locked: string[] }} keys: as the
 *   constructor takes them; publicKeys: of all files, also of keys that cannot be used; locked: the files of keys that
 *   only lack their passphrase
 */
function readIdentities(reader, passphrase, notice, secrets) {
  const place = { ...reader.context, tokens: reader.tokens };
  const certificates = reader.list('CertificateFile').map((setting) => readCertificate(setting, place, notice));
  const named = reader.list('IdentityFile');
  /** @type {{ name: string, value: string, line?: import('./syntax.js').Line }[]} */
  const defaults = DEFAULTS.map((name) => ({ name: 'IdentityFile', value: `~/.ssh/${name}` }));
  const keys = [];
  const blobs = [];
  const lockedFiles = [];
  for (const setting of named.length > 0 ? named : defaults) {
    if (setting.value.toLowerCase() === 'none') continue;
    const file = expandPath(setting.value, place, setting.line);
    const { key, blob, problem, locked } = readKey(
      file,
      reader.context.command?.passphrases.get(file) ?? passphrase,
      secrets,
    );
    if (problem !== undefined) notice(setting, problem, { locked });
    if (locked) lockedFiles.push(file);
    if (blob !== undefined) blobs.push(blob);
    if (key === undefined) continue;
    // With a CertificateFile, the certificates beside the keys are not used.
    const candidates = certificates.length > 0 ? certificates : [beside(file)];
    const fitting = candidates.filter((certificate) => certificate?.blob?.equals(blob));
    for (const certificate of fitting) {
      certificate.used = true;
      keys.push({ ...key, certificate: certificate.line });
    }
    if (fitting.length === 0) keys.push(key);
  }
  for (const { setting, blob, used } of certificates) {
    if (blob !== undefined && !used) notice(setting, 'the certificate belongs to no private key that is read here');
  }
  return { keys, publicKeys: blobs.map(publicLine), locked: lockedFiles };
}

/**
 * @param {Uint8Array[]} secrets gets the bytes of the file
 * @returns {{ key?: object, blob?: Buffer, problem?: string, locked?: boolean }} key: if it can be used; blob: the
 *   public key, if it is known; an empty object if there is no file
 */
function readKey(file, passphrase, secrets) {
  let bytes;
  let open;
  try {
    ({ bytes, open } = readFile(file));
    secrets.push(bytes);
  } catch (error) {
    const found = { blob: readPublicKey(`${file}.pub`) };
    return error.code === 'ENOENT' ? found : { ...found, problem: error.message };
  }
  // An IdentityFile may be a public key, whose private half is in an agent.
  const itself = publicBlob(bytes.subarray(0, MAX_LINE));
  if (itself !== undefined) return { blob: itself };
  if (open)
    return {
      blob: readPublicKey(`${file}.pub`),
      problem: 'other users can read it, and so ssh does not use it either',
    };
  const { publicKey, problem, locked } = binding.inspectPrivateKey(bytes, passphrase);
  const blob = publicKey ? Buffer.from(publicKey) : readPublicKey(`${file}.pub`);
  if (problem === undefined)
    return { key: passphrase === undefined ? { key: bytes } : { key: bytes, passphrase }, blob };
  const help = locked && passphrase === undefined ? "; the option 'passphrase' would decrypt it" : '';
  return { blob, problem: `${problem}${help}`, locked };
}

/** Whether a passphrase decrypts a key file. */
function unlocks(file, passphrase) {
  const secrets = [];
  try {
    return !readKey(file, passphrase, secrets).locked;
  } finally {
    wipe(secrets);
  }
}

/** The bytes of a file; open: whether it belongs to the user, and other users can read it. */
function readFile(file) {
  const descriptor = fs.openSync(file, 'r');
  try {
    const { mode, uid } = fs.fstatSync(descriptor);
    const open = process.platform !== 'win32' && uid === process.getuid() && (mode & 0o077) !== 0;
    return { bytes: readAll(descriptor), open };
  } finally {
    fs.closeSync(descriptor);
  }
}

/**
 * Reads a file into memory that can be wiped. `fs.readFileSync()` collects files of unknown length, such as pipes, in
 * buffers that it does not wipe.
 */
function readAll(descriptor) {
  let bytes = allocate(FILE_BYTES);
  for (let length = 0; ; ) {
    const count = fs.readSync(descriptor, bytes, length, bytes.length - length, null);
    length += count;
    if (count === 0) return bytes.subarray(0, length);
    if (length < bytes.length) continue;
    const larger = allocate(2 * length);
    bytes.copy(larger);
    bytes.fill(0);
    bytes = larger;
  }
}

/** The blob of the public key, or of a certificate's key, in a file; undefined if there is none. */
function readPublicKey(file) {
  try {
    return publicBlob(fs.readFileSync(file));
  } catch {
    return undefined;
  }
}

function publicBlob(line) {
  const blob = binding.inspectPublicKey(line);
  return blob === null ? undefined : Buffer.from(blob);
}

/** Reads a CertificateFile: its line, and the blob of the key that it certifies. */
function readCertificate(setting, place, notice) {
  const file = expandPath(setting.value, place, setting.line);
  try {
    const line = fs.readFileSync(file, 'latin1');
    const blob = certifiedKey(line);
    if (blob === undefined) notice(setting, 'it is not a certificate');
    return { setting, line, blob };
  } catch (error) {
    notice(setting, error.message);
    return { setting };
  }
}

/** The certificate that ssh-keygen writes beside a key. */
function beside(file) {
  try {
    const line = fs.readFileSync(`${file}-cert.pub`, 'latin1');
    return { line, blob: certifiedKey(line) };
  } catch {
    return undefined;
  }
}

function certifiedKey(line) {
  return /^\S+-cert-v01@openssh\.com\s/.test(line) ? publicBlob(Buffer.from(line, 'latin1')) : undefined;
}

/** The line of a public key, by its blob, which begins with the type. */
function publicLine(blob) {
  return `${blob.toString('latin1', 4, 4 + blob.readUInt32BE())} ${blob.toString('base64')}`;
}

module.exports = { readIdentities, unlocks };
