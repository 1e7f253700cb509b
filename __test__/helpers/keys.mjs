// Key pairs made by ssh-keygen.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { findProgram } from './ensure-sshd.mjs';

const BITS = { ecdsa: '256', rsa: '2048' };

export function keygen(...args) {
  return execFileSync(findProgram('ssh-keygen'), args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** A temporary folder that is removed on request, and at the latest when the process ends. */
export function temporaryFolder(name, parent = tmpdir()) {
  const path = mkdtempSync(join(parent, `sshtunnel-${name}-`));
  const remove = () => {
    process.off('exit', remove);
    rmSync(path, { recursive: true, force: true });
  };
  process.on('exit', remove);
  const at = (file) => join(path, file);
  let files = 0;
  /** Writes a new file that only the user can write, and returns its path. */
  const write = (text, file = `file${files++}`) => {
    writeFileSync(at(file), text, { mode: 0o600 });
    return at(file);
  };
  return { path, at, write, remove };
}

/**
 * Makes `file` and `file.pub`.
 * @param type ed25519, ecdsa or rsa
 * @param format RFC4716 (OpenSSH's own), PEM or PKCS8
 */
export function makeKey(file, { type = 'ed25519', bits, format = 'RFC4716', passphrase = '' } = {}) {
  const size = bits ?? BITS[type];
  const args = ['-q', '-t', type, '-m', format, '-N', passphrase, '-C', 'test', '-f', file];
  keygen(...args, ...(size ? ['-b', String(size)] : []));
  if (format !== 'RFC4716') keygen('-p', '-m', format, '-P', passphrase, '-N', passphrase, '-f', file);
  return readKey(file);
}

/**
 * Makes certificates of public keys.
 * @param authority a key pair
 * @param options.principals names, with commas
 * @param options.kind host or user
 * @param options.validity as for ssh-keygen -V
 * @param options.more more arguments of ssh-keygen
 * @returns {(key: { file: string }) => string} makes one and gives its path
 */
export function certifier(authority, { principals, kind = 'host', validity = 'always:forever', more = [] } = {}) {
  const args = ['-q', '-s', authority.file, '-I', `a ${kind}`, '-V', validity, ...more];
  if (kind === 'host') args.push('-h');
  if (principals) args.push('-n', principals);
  return ({ file }) => {
    keygen(...args, `${file}.pub`);
    return `${file}-cert.pub`;
  };
}

/** The private key's text, the public key's line and its fingerprint. */
export function readKey(file) {
  return {
    file,
    privateKey: readFileSync(file, 'utf8'),
    publicKey: readFileSync(`${file}.pub`, 'utf8').trim(),
    fingerprint: keygen('-l', '-f', `${file}.pub`).split(' ')[1],
  };
}

const string = (value) => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(Buffer.byteLength(value));
  return Buffer.concat([length, Buffer.from(value)]);
};

/**
 * An Ed25519 key in OpenSSH's format, by hand.
 * @param {{ seed: Buffer, point: Buffer }} pair
 * @param options.block the private part is padded to a multiple of this, at least by one byte, as PuTTYgen does
 */
export function opensshKey({ seed, point }, { comment = '', block = 8 } = {}) {
  const type = 'ssh-ed25519';
  const blob = Buffer.concat([type, point].map(string));
  const fields = [type, point, Buffer.concat([seed, point]), comment];
  const section = Buffer.concat([Buffer.alloc(8, 1), ...fields.map(string)]);
  const padding = Buffer.from(Array.from({ length: block - (section.length % block) }, (_, index) => index + 1));
  const body = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    ...['none', 'none', ''].map(string),
    Buffer.of(0, 0, 0, 1),
    string(blob),
    string(Buffer.concat([section, padding])),
  ]);
  const lines = body.toString('base64').match(/.{1,70}/g);
  return {
    text: ['-----BEGIN OPENSSH PRIVATE KEY-----', ...lines, '-----END OPENSSH PRIVATE KEY-----', ''].join('\n'),
    publicKey: `${type} ${blob.toString('base64')} ${comment}`.trim(),
  };
}
