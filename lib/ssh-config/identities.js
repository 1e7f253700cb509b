'use strict';

// The key files of a configuration: which can be used, and why the others cannot.

const fs = require('node:fs');

const binding = require('../native/load.js');
const { allocate, wipe } = require('../secrets.js');
const { isExposed } = require('./file-access.js');
const { expandPath } = require('./tokens.js');

/** Key files without an IdentityFile, in OpenSSH's order. */
const DEFAULTS = ['id_rsa', 'id_ecdsa', 'id_ecdsa_sk', 'id_ed25519', 'id_ed25519_sk'];

/** Bytes to begin with for a private key file: one of RSA with 16384 bits has 12 KiB. */
const FILE_BYTES = 16_384;

/** Starts of files that are meant as public keys. */
const PUBLIC = [
  'ssh-',
  'ecdsa-sha2-',
  'sk-',
  '---- BEGIN SSH2 PUBLIC KEY',
  '-----BEGIN PUBLIC KEY',
  '-----BEGIN RSA PUBLIC KEY',
].map((start) => Buffer.from(start));

/** What no public key has. */
const PRIVATE = ['PRIVATE KEY', 'PuTTY-User-Key-File-'];

/** Where a private key is from. @typedef {{ file: string, comment: string }} KeyFile comment: perhaps empty */

/**
 * A key or certificate that an agent may be asked to use.
 * @typedef {{ setting: any, line?: string }} Stray a certificate of no key that is named here
 */

/**
 * @param {import('./reader.js').Reader} reader
 * @param {Uint8Array | undefined} passphrase of encrypted keys
 * @param {(setting: object, reason: string, facts?: import('./index.js').KeyFacts) => void} notice
 * @param {Uint8Array[]} secrets gets the bytes of private keys, to be wiped
 * @returns {{ keys: object[], keyFiles: KeyFile[], publicKeys: string[], strays: Stray[], locked: string[] }} keys: as
 *   the constructor takes them; keyFiles: where they are from; publicKeys: of all files, also of keys that cannot be used,
 *   with their certificates; locked: the files of keys that only lack their passphrase
 */
function readIdentities(reader, passphrase, notice, secrets) {
  const place = { ...reader.context, tokens: reader.tokens };
  const certificates = reader.list('CertificateFile').map((setting) => readCertificate(setting, place, notice));
  const named = reader.list('IdentityFile');
  /** @type {{ name: string, value: string, line?: import('./syntax.js').Line }[]} */
  const defaults = (reader.context.home === undefined ? [] : DEFAULTS).map((name) => ({
    name: 'IdentityFile',
    value: `~/.ssh/${name}`,
  }));
  const keys = [];
  const keyFiles = [];
  const publicKeys = [];
  const lockedFiles = [];
  for (const setting of named.length > 0 ? named : defaults) {
    if (setting.value.toLowerCase() === 'none') continue;
    const file = expandPath(setting.value, place, setting.line);
    const { key, comment, blob, certificate, problem, locked, mode } = readKey(
      file,
      reader.context.command?.passphrases.get(file) ?? passphrase,
      secrets,
    );
    if (problem !== undefined)
      notice(setting, problem, { locked, ...(mode !== undefined && { exposed: { file, mode } }) });
    if (locked) lockedFiles.push(file);
    if (blob === undefined) continue;
    // With a CertificateFile, the certificates beside the keys are not used; one in the place of a public key is.
    const candidates = certificates.length > 0 ? certificates : [readCertificateFile(`${file}-cert.pub`)];
    const fitting = [...candidates, { line: certificate, blob }].filter(
      ({ line, blob: certified }) => line !== undefined && certified?.equals(blob),
    );
    const lines = fitting.length > 0 ? fitting.map(({ line }) => line) : [undefined];
    for (const line of key === undefined ? [] : lines) {
      keys.push(line === undefined ? key : { ...key, certificate: line });
      keyFiles.push({ file, comment });
    }
    publicKeys.push(publicLine(blob), ...fitting.map(({ line }) => line));
    for (const certified of fitting) certified.used = true;
  }
  const strays = certificates.filter(({ blob, used }) => blob !== undefined && !used);
  return { keys, keyFiles, publicKeys, strays, locked: lockedFiles };
}

/**
 * @param {Uint8Array[]} secrets gets the bytes of the file
 * @returns {{ key?: object, comment?: string, blob?: Buffer, certificate?: string, problem?: string, locked?: boolean,
 *   mode?: number }} key: if it can be used; blob: the public key, if it is known; certificate: the line that stands in the
 *   place of the public key; mode: the permissions of a file that others can read; an empty object if there is no file
 */
function readKey(file, passphrase, secrets) {
  let bytes;
  let open;
  let mode;
  try {
    ({ bytes, open, mode } = readFile(file));
    secrets.push(bytes);
  } catch (error) {
    const found = readPublicKey(`${file}.pub`);
    return error.code === 'ENOENT' ? found : { ...found, problem: error.message };
  }
  // An IdentityFile may be a public key, whose private half is in an agent.
  const itself = publicEntry(bytes);
  if (itself !== undefined) return itself;
  const beside = readPublicKey(`${file}.pub`);
  if (isMeantAsPublic(file, bytes)) return { ...beside, problem: 'it has no public key that can be used' };
  if (open) return { ...beside, mode, problem: 'other users can read it, and so ssh does not use it either' };
  const { publicKey, comment, problem, locked } = binding.inspectPrivateKey(bytes, passphrase);
  const blob = publicKey ? Buffer.from(publicKey) : beside.blob;
  // The files may be of different keys.
  const found = { blob, ...(beside.blob?.equals(blob) ? { certificate: beside.certificate } : {}) };
  if (problem === undefined) {
    return { key: passphrase === undefined ? { key: bytes } : { key: bytes, passphrase }, comment, ...found };
  }
  const help = locked && passphrase === undefined ? "; the option 'passphrase' would decrypt it" : '';
  return { ...found, problem: `${problem}${help}`, locked };
}

/** Whether a file without a usable public key is not a private key either. */
function isMeantAsPublic(file, bytes) {
  if (PRIVATE.some((words) => bytes.includes(words))) return false;
  const text = bytes.subarray(bytes.findIndex((byte) => byte > 0x20));
  return file.endsWith('.pub') || PUBLIC.some((start) => start.equals(text.subarray(0, start.length)));
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

/**
 * The bytes of a file; open: whether ssh refuses it as a private key, because other users can read it; mode: its
 * permissions, where the system has them.
 */
function readFile(file) {
  const descriptor = fs.openSync(file, 'r');
  try {
    const mode = process.platform === 'win32' ? undefined : fs.fstatSync(descriptor).mode & 0o777;
    return { bytes: readAll(descriptor), open: isExposed(file, descriptor), mode };
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

/**
 * The public key in a file, as of `publicEntry`; an empty object if there is none.
 * @returns {{ blob?: Buffer, certificate?: string }}
 */
function readPublicKey(file) {
  try {
    return publicEntry(fs.readFileSync(file)) ?? {};
  } catch {
    return {};
  }
}

/**
 * The first public key or certificate in a text, with the blob of its key.
 * @returns {{ blob: Buffer, certificate?: string } | undefined}
 */
function publicEntry(text) {
  const entry = binding.inspectPublicKey(text);
  if (entry === null) return undefined;
  const { publicKey, certificate } = entry;
  return { blob: Buffer.from(publicKey), ...(certificate ? { certificate } : {}) };
}

/** Reads a CertificateFile. */
function readCertificate(setting, place, notice) {
  const file = expandPath(setting.value, place, setting.line);
  const { error, ...certificate } = readCertificateFile(file);
  if (error !== undefined) notice(setting, error.message);
  else if (certificate.blob === undefined) notice(setting, "it is not a user's certificate");
  return { setting, ...certificate };
}

/**
 * The line of a certificate, and the blob of the key that it certifies.
 * @returns {{ line?: string, blob?: Buffer, used?: boolean, error?: Error }}
 */
function readCertificateFile(file) {
  try {
    const { blob, certificate: line } = publicEntry(fs.readFileSync(file)) ?? {};
    return line === undefined ? {} : { line, blob };
  } catch (error) {
    return { error };
  }
}

/** The line of a public key, by its blob, which begins with the type. */
function publicLine(blob) {
  return `${blob.toString('latin1', 4, 4 + blob.readUInt32BE())} ${blob.toString('base64')}`;
}

module.exports = { readIdentities, unlocks };
