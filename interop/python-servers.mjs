// Servers in Python: Debian's packages, with a program of this folder for each.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { ensureDebian } from '../__test__/helpers/ensure-sshd.mjs';
import { startProgram } from './programs.mjs';

/** Debian's Python, which finds Debian's packages; another one may precede it in PATH. */
export const PYTHON = '/usr/bin/python3';

/** The output of a Python program, or null if it fails. */
function ask(program) {
  const { status, stdout } = spawnSync(PYTHON, ['-W', 'ignore', '-c', program], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : null;
}

function python({ name, module, debian = `python3-${module}`, more = {}, ...server }) {
  const program = fileURLToPath(new URL(`${name.toLowerCase().replace(/.* /, '')}_server.py`, import.meta.url));
  return {
    name,
    optional: true,
    version: () => ask(`import ${module}; print(${module}.__version__)`),
    available: () => ensureDebian(`the Python module ${module}`, () => ask(`import ${module}`) !== null, [debian]),
    start: async (identities) => ({
      ...(await startProgram(name, [PYTHON, '-W', 'ignore', program], identities)),
      ...more,
    }),
    ...server,
  };
}

export const asyncssh = python({
  name: 'asyncssh',
  module: 'asyncssh',
  more: { certificates: true },
  flaws: {
    'remote forward, port 0': 'its connections name port 0 in place of the chosen port; OpenSSH refuses them, too',
  },
});

export const paramiko = python({ name: 'paramiko', module: 'paramiko' });

export const conch = python({
  name: 'Twisted Conch',
  module: 'twisted',
  more: { questions: false }, // it supports them only with PAM
  lacks: {
    'half-close by the local client': 'it does not forward an end of stream to the target',
    'half-close by the target': 'it closes the channel without an end of stream when the target has ended its own',
  },
});
