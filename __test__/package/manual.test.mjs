// The manual page: current, without warnings of its readers, and legible.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import { PAGE, current } from '../../scripts/man.mjs';
import { test } from '../helpers/bounded.mjs';
import { ensurePackages } from '../helpers/ensure-sshd.mjs';
import { run } from '../helpers/process.mjs';

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));

test('man/sshtunnel.1 is made from docs/command.md, and npm installs it', () => {
  assert.ok(current() !== undefined, 'man/sshtunnel.1 is old: npm run man');
  // npm links a list only.
  assert.deepEqual(manifest.man, ['./man/sshtunnel.1']);
  assert.ok(manifest.files.includes('man'));
});

test('man reads the page without warnings', async (t) => {
  if (!ensurePackages(['man', 'groff'], ['man-db', 'groff-base'])) return t.skip('there is no man');
  for (const width of ['60', '80', '132']) {
    const env = { ...process.env, MANWIDTH: width, MANROFFOPT: '-ww', LC_ALL: 'C.UTF-8' };
    const { code, stdout, stderr } = await run('man', ['--warnings', '-E', 'UTF-8', '-l', PAGE], { env });
    assert.deepEqual([code, stderr], [0, '']);
    const text = stdout.replace(/.\x08/g, '');
    const titles = [...text.matchAll(/^([A-Z][A-Z ]+)$/gm)].map(([, title]) => title);
    for (const title of ['NAME', 'SYNOPSIS', 'DESCRIPTION', 'FLAGS', 'EXIT STATUS', 'FILES', 'SEE ALSO'])
      assert.ok(titles.includes(title), title);
    assert.match(text, /sshtunnel - forward ports through an SSH server/);
    assert.doesNotMatch(text, /\]\(|\*\*|`|<!--|\\f[BIRP]/);
  }
});

test('mandoc has nothing to say about the page', async (t) => {
  if (!ensurePackages(['mandoc'], ['mandoc'])) return t.skip('there is no mandoc');
  const { code, stdout } = await run('mandoc', ['-T', 'lint', '-W', 'warning', PAGE]);
  assert.deepEqual([code, stdout], [0, '']);
});
