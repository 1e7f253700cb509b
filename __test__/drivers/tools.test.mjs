// The commands of docs/runtimes.md run as printed, with the files of the package as users install them.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import { delimiter, dirname, join } from 'node:path';
import { after } from 'node:test';
import { promisify } from 'node:util';

import { pack } from '../../scripts/pack.mjs';
import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { NamedHosts } from '../helpers/named-hosts.mjs';
import { nodeProgram } from '../helpers/npm-programs.mjs';
import { npmProject } from '../helpers/npm-project.mjs';
import { ROOT, run } from '../helpers/process.mjs';

const project = npmProject();
assert.notEqual(project, null, 'the packages of the tools are needed');

const hello = net.createServer((socket) => socket.on('error', () => {}).end('hello')).listen(0, '127.0.0.1');
await once(hello, 'listening');
const named = await NamedHosts.start({ 'hello.internal:80': hello.address().port });
const folder = temporaryFolder('tools');
after(async () => {
  hello.close();
  await named.stop();
  folder.remove();
});

const modules = folder.at('node_modules');
mkdirSync(modules);
for (const name of readdirSync(join(project, 'node_modules')).filter((name) => name !== 'sshtunnel-native'))
  symlinkSync(join(project, 'node_modules', name), join(modules, name));
const packed = await pack(folder.path);
for (const { name, file } of [packed.main, packed.platform]) {
  mkdirSync(join(modules, name));
  spawnSync('tar', ['--extract', '--file', file, '--directory', join(modules, name), '--strip-components', '1']);
}

const page = readFileSync(join(ROOT, 'docs', 'runtimes.md'), 'utf8');
const local = (text) =>
  text.replaceAll("'bastion.example'", `'127.0.0.1', port: ${named.port}`).replaceAll("'me'", "'user'");
const [, app] = /^```js\n(const[^]*?)^```/m.exec(page);
folder.write(local(app), 'app.js');
// The root of the tools that look for one.
folder.write('{ "private": true }', 'package.json');

const BLOCKS = [...page.matchAll(/^### (.+)\n([^]*?)(?=^##)/gm)].flatMap(([, title, text]) =>
  [...text.matchAll(/^```sh\n([^]*?)^```/gm)].map(([, commands]) => ({ title, commands })),
);

/** What a block prints, where it is not the answer alone. */
const PRINTS = { jest: /1 passed/, vitest: /1 passed[^]*1 passed/ };

/** Runs commands as a shell does, with the tools of the project and a version of Node.js. */
async function shell(commands, node = process.execPath) {
  const path = [dirname(node), join(modules, '.bin'), process.env.PATH].join(delimiter);
  const env = { ...process.env, ...named.environment, PATH: path, FORCE_COLOR: '0', NO_COLOR: '1' };
  // What tells a program of ours that it runs in a test is not meant for theirs.
  for (const name of ['NODE_TEST_CONTEXT', 'NODE_OPTIONS', 'NAPI_RS_NATIVE_LIBRARY_PATH']) delete env[name];
  rmSync(folder.at('dist'), { recursive: true, force: true });
  return run('sh', ['-ec', local(commands)], { cwd: folder.path, env, timeout: 100_000 });
}

/** Why a block cannot run here, or the version of Node.js that it needs. */
function needs({ title, commands }) {
  if (commands.includes('linux-x64') && packed.platform.name !== 'sshtunnel-native-linux-x64-gnu')
    return { skip: 'the binary in the page is that of another platform' };
  if (title !== 'Permissions') return {};
  // It is for glibc, as the binary has to be.
  const node = packed.platform.name === 'sshtunnel-native-linux-x64-gnu' && nodeProgram('24.21.0');
  return node ? { node } : { skip: 'there is no Node.js 24 here' };
}

for (const [at, block] of BLOCKS.entries()) {
  const { skip, node } = needs(block);
  test(`docs/runtimes.md: ${block.title}, block ${at}`, { timeout: 120_000, skip }, async () => {
    const { code, stdout, stderr } = await shell(block.commands, node);
    const output = `${stdout}${stderr}`;
    assert.equal(code, 0, output);
    assert.match(output, PRINTS[block.title] ?? /^hello$/m);
    assert.doesNotMatch(output, /open handle/);
  });
}

test('every tool of the page has a block that runs', () => {
  const titles = ['esbuild', 'webpack', 'Vite', 'ncc', 'Single executable applications'];
  const others = ['Permissions', 'Worker threads', 'jest', 'vitest'];
  for (const title of [...titles, ...others])
    assert.ok(
      BLOCKS.some((block) => block.title === title),
      title,
    );
});

test('without --allow-addons, a restricted process has an error that says so', async (t) => {
  const { skip, node } = needs({ title: 'Permissions', commands: '' });
  if (skip) return t.skip(skip);
  const { code, stderr } = await shell("node --permission --allow-fs-read='*' app.js", node);
  assert.equal(code, 1);
  assert.match(stderr, /ERR_TUNNEL_NO_BINARY|ERR_DLOPEN_DISABLED/);
});

test('a bundle with a path in place of the binary throws ERR_TUNNEL_NO_BINARY', async () => {
  const config = {
    mode: 'production',
    target: 'node',
    context: folder.path,
    entry: './app.js',
    output: { path: folder.at('dist') },
    module: { rules: [{ test: /\.node$/, type: 'asset/resource' }] },
    // The binaries of other platforms, which are not there.
    externals: [
      /^\.\.\/\.\.\/.*\.node$/,
      new RegExp(`^sshtunnel-native-(?!${packed.here.name.replace('sshtunnel-native-', '')}$)`),
    ],
    externalsType: 'commonjs',
  };
  const webpack = createRequire(join(project, 'index.js'))('webpack');
  const stats = await promisify(webpack)(config);
  assert.deepEqual(stats.toJson({ all: false, errors: true }).errors, []);
  const { code, stderr } = await run('node', [folder.at('dist/main.js')], { cwd: folder.path });
  assert.equal(code, 1);
  assert.match(stderr, /code: 'ERR_TUNNEL_NO_BINARY'/);
  assert.match(stderr, /something else \('.*\.node'\)/);
});

test('an empty object in place of the binary throws ERR_TUNNEL_NO_BINARY', async () => {
  writeFileSync(folder.at('empty.js'), 'module.exports = {};');
  const program = `NAPI_RS_NATIVE_LIBRARY_PATH="$PWD/empty.js" node app.js`;
  const { code, stderr } = await shell(program);
  assert.equal(code, 1);
  assert.match(stderr, /code: 'ERR_TUNNEL_NO_BINARY'/);
  assert.match(stderr, /something else \(object\)/);
});
