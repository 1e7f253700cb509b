// Python's sshtunnel, in the version of scripts/python-sshtunnel.txt.

import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { PYTHON, paramiko } from '../../interop/python-servers.mjs';
import { TOOLS, installPython } from '../../scripts/pinned.mjs';

/**
 * The Python that has the package, with the variables that it needs; null, with a line that says why, where it cannot be
 * had.
 */
export function pythonSshtunnel() {
  if (!paramiko.available()) return null;
  const folder = join(TOOLS, 'python-sshtunnel');
  if (existsSync(join(folder, 'sshtunnel.py')) || installPython('python-sshtunnel.txt', folder))
    return { python: PYTHON, environment: { PYTHONPATH: folder } };
  console.error("Python's sshtunnel cannot be had from PyPI");
  return null;
}
