// Private keys as `ssh-keygen -y` reads them, and public keys and certificates as `ssh-keygen -l` does.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';

import { findProgram } from '../../__test__/helpers/ensure-sshd.mjs';
import { temporaryFolder } from '../../__test__/helpers/keys.mjs';

const binding = createRequire(import.meta.url)('../../lib/native/load.js');

const PUTTY = 'PuTTY-User-Key-File-';
const KNOWN = /^(?:ssh-(?:ed25519|rsa|dss)|ecdsa-sha2-|sk-)/;
const PUBLIC = /^(?:ssh-|ecdsa-sha2-|sk-)\S+ +AAAA/m;

/** Why a private key that ssh-keygen reads is refused here, by the words of the error. */
const REFUSED = [
  [/an RSA key of \d+ bits/, 'RSA keys have 2048 to 8192 bits'],
  [/a DSA key/, 'DSA is not supported'],
  [/in a security key/, 'security keys need an agent'],
];

/** Why a private key is read here that ssh-keygen refuses. */
function accepted(text, type) {
  if (text.startsWith(PUTTY)) return "PuTTY's files are read";
  if (!/^-----BEGIN [^\n]*-----\r?\n/.test(text) || text.includes('\\')) return 'encodings around a key are removed';
  if (/^-----BEGIN (?:ENCRYPTED )?PRIVATE KEY/.test(text) && type === 'ssh-ed25519')
    return 'Ed25519 in PKCS #8 is read, as by newer releases of OpenSSH';
  return undefined;
}

/** The text in a file that may be in UTF-16. */
const textOf = (bytes) => bytes.toString('latin1').replaceAll('\0', '');

export class Keys {
  #folder = temporaryFolder('corpus-keys');
  #passphrases;

  constructor(passphrases) {
    this.#passphrases = ['', ...passphrases];
  }

  *check(file, bytes) {
    const text = textOf(bytes);
    if (text.includes('PRIVATE KEY-----') || text.startsWith(PUTTY)) yield this.#private(bytes, text);
    else if (file.endsWith('.pub') && PUBLIC.test(text)) yield this.#public(bytes, text);
  }

  #private(bytes, text) {
    const [ours, theirs] = [this.#ours(bytes), this.#theirs(bytes)];
    const kind = 'private keys';
    if (ours.key === theirs.key) return { kind, result: 'same', refused: ours.key === undefined };
    if (ours.key === undefined) {
      const policy = REFUSED.find(([words]) => words.test(ours.problem))?.[1];
      if (policy !== undefined) return { kind, result: 'policy', reason: policy };
      return { kind, result: 'different', reason: `ssh-keygen reads it; here: ${ours.problem}` };
    }
    if (theirs.key !== undefined) return { kind, result: 'different', reason: `${theirs.key}; here: ${ours.key}` };
    const policy = accepted(text, ours.key.split(' ')[0]);
    if (policy !== undefined) return { kind, result: 'policy', reason: policy };
    return { kind, result: 'different', reason: `ssh-keygen: ${theirs.problem}; here it is ${ours.key}` };
  }

  /** The first two words of the public key, or why there is none. */
  #ours(bytes) {
    let problem;
    for (const passphrase of this.#passphrases) {
      const found = binding.inspectPrivateKey(bytes, Buffer.from(passphrase));
      if (found.problem === undefined || found.problem === null) {
        const blob = Buffer.from(found.publicKey);
        return { key: `${blob.toString('latin1', 4, 4 + blob.readUInt32BE())} ${blob.toString('base64')}` };
      }
      problem = found.problem;
    }
    return { problem };
  }

  #theirs(bytes) {
    const file = this.#folder.write(bytes);
    let problem;
    for (const passphrase of this.#passphrases) {
      const { status, stdout, stderr } = keygen('-y', '-P', passphrase, '-f', file);
      if (status === 0) return { key: stdout.trim().split(' ').slice(0, 2).join(' ') };
      problem = stderr.trim().split('\n').at(-1);
    }
    return { problem };
  }

  #public(bytes, text) {
    const kind = 'public keys';
    const { status, stdout } = keygen('-l', '-f', this.#folder.write(bytes));
    const theirs = status === 0 ? /SHA256:\S+/.exec(stdout)?.[0] : undefined;
    const entry = binding.inspectPublicKey(bytes);
    const digest = entry && createHash('sha256').update(entry.publicKey).digest('base64');
    const ours = entry ? `SHA256:${digest.replace(/=+$/, '')}` : undefined;
    if (ours === theirs) return { kind, result: 'same', refused: ours === undefined };
    const reason = `ssh-keygen: ${theirs ?? 'no public key'}; here: ${ours ?? 'no public key'}`;
    if (theirs === undefined && text !== bytes.toString('latin1'))
      return { kind, result: 'policy', reason: 'public keys in UTF-16 are read' };
    if (theirs === undefined && !KNOWN.test(Buffer.from(entry.publicKey).toString('latin1', 4)))
      return {
        kind,
        result: 'policy',
        reason: 'public keys of types that only newer releases of OpenSSH know are read',
      };
    return { kind, result: 'different', reason };
  }

  stop() {
    this.#folder.remove();
  }
}

function keygen(...args) {
  return spawnSync(findProgram('ssh-keygen'), args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
