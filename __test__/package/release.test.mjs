// The steps of the workflow Release that publish, run in a copy of the repository and with a registry of the test, and an
// installation from there.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after } from 'node:test';

import { load } from 'js-yaml';

import { faults, isOwn, libcFaults, platforms, readManifest } from '../../scripts/packages.mjs';
import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { otherBinary } from '../helpers/other-binaries.mjs';
import { ROOT, run } from '../helpers/process.mjs';
import { Registry, TOKEN } from '../helpers/registry.mjs';

const folder = temporaryFolder('release');
after(folder.remove);

const repository = join(folder.path, 'repository');
const here = platforms().find(isOwn);
const { name, version } = readManifest();

/** Copies what git has, as it is now. */
function copyRepository() {
  const { stdout } = spawnSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  for (const file of stdout.split('\0').filter(Boolean)) {
    mkdirSync(dirname(join(repository, file)), { recursive: true });
    cpSync(join(ROOT, file), join(repository, file));
  }
  symlinkSync(join(ROOT, 'node_modules'), join(repository, 'node_modules'));
}

/** What a person does before the tag, and the jobs before this one. */
function prepare(binary) {
  const changelog = readFileSync(join(repository, 'CHANGELOG.md'), 'utf8');
  writeFileSync(join(repository, 'CHANGELOG.md'), changelog.replace(/^## .*$/m, `## ${version}`));
  for (const platform of platforms()) {
    const artifact = join(repository, 'artifacts', `binary-${platform.target}`);
    mkdirSync(artifact, { recursive: true });
    writeFileSync(join(artifact, platform.binary), platform.name === here.name ? binary : otherBinary(platform));
  }
}

const { publish, contents } = load(readFileSync(join(ROOT, '.github', 'workflows', 'release.yml'), 'utf8')).jobs;

test('the steps of a release publish packages that can be installed', { timeout: 300_000 }, async (t) => {
  const binary = readFileSync(join(ROOT, here.binary));
  const wrong = [...faults(binary, here), ...libcFaults(binary, here)];
  if (wrong.length > 0) return t.skip(`the build here may not be published: it ${wrong[0]}`);
  copyRepository();
  prepare(binary);
  const registry = await Registry.start();
  t.after(() => registry.close());
  const env = {
    ...process.env,
    GITHUB_SERVER_URL: 'https://example.org',
    GITHUB_REPOSITORY: 'somebody/sshtunnel-native',
    GITHUB_REF_NAME: `v${version}`,
    NPM_CONFIG_REGISTRY: registry.url,
    NPM_CONFIG_USERCONFIG: join(folder.path, 'npmrc'),
    NPM_CONFIG_TAG: 'latest',
    NPM_TOKEN: TOKEN,
  };
  const command = (program, args, cwd) => run(program, args, { cwd, env, timeout: 120_000 });
  const succeed = async (program, args, cwd) => {
    const result = await command(program, args, cwd);
    assert.equal(result.code, 0, `${args.join(' ')}\n${result.stdout}${result.stderr}`);
    return result.stdout;
  };
  // A service of GitHub states the provenance. What npm ci installs is there.
  const steps = publish.steps
    .map((step) => step.run?.replace(' --provenance', ''))
    .filter((text) => text && !text.startsWith('npm ci'));
  const bash = (text) => ['bash', ['-eo', 'pipefail', '-c', text], repository];
  assert.ok(contents.steps.some((step) => step.run === 'npm run sbom'));
  const last = steps.pop();
  for (const text of ['npm run sbom', ...steps]) await succeed(...bash(text));
  // A release that has failed halfway is done again.
  registry.failing.add(name);
  assert.match((await command(...bash(last))).stderr, /400 .*not now/);
  assert.equal(registry.manifest(name, version), undefined);
  await succeed(...bash(last));

  assert.deepEqual(registry.published, [...platforms().map((one) => one.package), name], 'the main package is last');
  const manifest = registry.manifest(name, version);
  assert.deepEqual(manifest.optionalDependencies, Object.fromEntries(platforms().map((one) => [one.package, version])));
  assert.equal(manifest.repository.url, 'git+https://example.org/somebody/sshtunnel-native.git');
  assert.deepEqual(registry.tags(name), { latest: version });

  const project = join(folder.path, 'project');
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "name": "empty", "private": true }');
  await succeed('npm', ['install', '--no-audit', '--no-fund', name], project);
  assert.deepEqual(
    readdirSync(join(project, 'node_modules')).filter((entry) => !entry.startsWith('.')),
    [name, here.package].sort(),
    'no package of another platform',
  );
  for (const one of [name, here.package]) {
    const sbom = JSON.parse(readFileSync(join(project, 'node_modules', one, 'sbom.cdx.json'), 'utf8'));
    assert.equal(sbom.metadata.component.purl, `pkg:npm/${one}@${version}`);
  }
  const source = `const { SSHTunnel } = require('${name}'); console.log(typeof SSHTunnel)`;
  assert.equal(await succeed(process.execPath, ['--eval', source], project), 'function\n');
});
