'use strict';

// The keys that a configuration names: which of them can be used, and what is wrong with the others.

const fs = require('node:fs');

const binding = require('../native/load.js');
const { allocate, wipe } = require('../secrets.js');
const { expandPath } = require('./tokens.js');

/** Where no IdentityFile is named, in OpenSSH's order. */
const USUAL = ['id_rsa', 'id_ecdsa', 'id_ecdsa_sk', 'id_ed25519', 'id_ed25519_sk'];

/** Bytes of the line of a public key: one of RSA with 16384 bits has 3 KiB. */
const LONGEST_LINE = 16_384;

/** Bytes of a file of a private key, to begin with: one of RSA with 16384 bits has 12 KiB. */
const FILE_BYTES = 16_384;

/**
 * @param {import('./reader.js').Reader} reader
 * @param {Uint8Array | undefined} passphrase of encrypted keys
 * @param {(setting: object, reason: string) => void} notice
 * @param {Uint8Array[]} secrets gets what was read of private keys, to be wiped
 * @returns {{ keys: object[], publicKeys: string[], locked: string[] }} the private keys as the
 *   constructor takes them, all public keys, also of those that cannot be used, and the files of
 *   those that only lack their passphrase
 */
function readIdentities(reader, passphrase, notice, secrets) {
  const place = { ...reader.context, tokens: reader.tokens };
  const certificates = reader.list('CertificateFile').map((setting) => readCertificate(setting, place, notice));
  const named = reader.list('IdentityFile');
  /** @type {{ name: string, value: string, line?: import('./syntax.js').Line }[]} */
  const usual = USUAL.map((name) => ({ name: 'IdentityFile', value: `~/.ssh/${name}` }));
  const keys = [];
  const blobs = [];
  const lockedFiles = [];
  for (const setting of named.length > 0 ? named : usual) {
    if (setting.value.toLowerCase() === 'none') continue;
    const file = expandPath(setting.value, place, setting.line);
    const { key, blob, problem, locked } = readKey(
      file,
      reader.context.command?.passphrases.get(file) ?? passphrase,
      secrets,
    );
    if (problem !== undefined) notice(setting, problem);
    if (locked) lockedFiles.push(file);
    if (blob !== undefined) blobs.push(blob);
    if (key === undefined) continue;
    // Certificates that are named are all there are; otherwise the one beside the key is meant.
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
 * @returns {{ key?: object, blob?: Buffer, problem?: string, locked?: boolean }} a private key that can be used, the
 *   public key as far as it is known; nothing where there is no file
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
  // The private half of one that is named by its public half is in an agent.
  const itself = publicBlob(bytes.subarray(0, LONGEST_LINE));
  if (itself !== undefined) return { blob: itself };
  if (open) return { blob: readPublicKey(`${file}.pub`), problem: 'others may read it: ssh does not use it, either' };
  const { publicKey, problem, locked } = binding.inspectPrivateKey(bytes, passphrase);
  const blob = publicKey ? Buffer.from(publicKey) : readPublicKey(`${file}.pub`);
  if (problem === undefined)
    return { key: passphrase === undefined ? { key: bytes } : { key: bytes, passphrase }, blob };
  const help = locked && passphrase === undefined ? "; the option 'passphrase' would decrypt it" : '';
  return { blob, problem: `${problem}${help}`, locked };
}

/** Whether a passphrase is that of a key file. */
function unlocks(file, passphrase) {
  const secrets = [];
  try {
    return !readKey(file, passphrase, secrets).locked;
  } finally {
    wipe(secrets);
  }
}

/** A file, and whether others than its owner, who is the user, can read it. */
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
 * All of a file, in memory that is shared with nothing and can be wiped: `fs.readFileSync()` collects what
 * it does not know the length of, such as the output of a program, in buffers that it lets go.
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

/** The blob of the public key, or of a certificate's key, in a file; undefined where there is none. */
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

/** A certificate that is named: its line, and the blob of the key that it is for. */
function readCertificate(setting, place, notice) {
  const file = expandPath(setting.value, place, setting.line);
  try {
    const line = fs.readFileSync(file, 'latin1');
    const blob = certifiedKey(line);
    if (blob === undefined) notice(setting, 'it is no certificate');
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

/** The line of a public key; its blob begins with its type. */
function publicLine(blob) {
  return `${blob.toString('latin1', 4, 4 + blob.readUInt32BE())} ${blob.toString('base64')}`;
}

module.exports = { readIdentities, unlocks };
