// --metrics: what Prometheus reads of the command.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { Setting, echo } from '../helpers/cli.mjs';
import { ensurePackages, findProgram } from '../helpers/ensure-sshd.mjs';
import { MIB, connect } from '../helpers/peers.mjs';
import { until } from '../helpers/process.mjs';
import { parseMetrics } from '../helpers/prometheus.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const hasPromtool = ensurePackages(['promtool'], ['prometheus']);
const server = await Sshd.start();
const setting = new Setting(server);
after(() => Promise.all([server.stop(), setting.remove()]));

/** The text of the metrics at a URL. */
async function scrape(url) {
  const response = await fetch(url);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  return response.text();
}

test('sessions, connections and forwards are counted, from before the first session on', async (t) => {
  const target = await echo(t);
  server.freeze();
  t.after(() => server.thaw());
  const args = ['--json', '-o', 'Reconnect=yes', '--metrics', '0', '-L', `127.0.0.1:0:127.0.0.1:${target.port}`];
  const child = setting.start(t, args);
  const [, url] = await child.says('stderr', /^Serving (http:\/\/127\.0\.0\.1:\d+\/metrics)$/m);
  const early = parseMetrics(await scrape(url));
  assert.equal(early.get('sshtunnel_sessions'), 0);
  assert.equal(early.get('sshtunnel_logons_total'), 0);
  server.thaw();
  const { localPort } = await child.report('listening');

  const client = await connect(localPort);
  await client.send(MIB);
  client.end();
  await client.ended;
  const labels = `{kind="local",listen="127.0.0.1:${localPort}"`;
  let samples;
  await until(async () => {
    samples = parseMetrics(await scrape(url));
    return samples.get(`sshtunnel_forward_connections_ended_total${labels},code="OK"}`) === 1;
  });
  for (const [name, value] of Object.entries({
    sshtunnel_sessions: 1,
    sshtunnel_logons_total: 1,
    sshtunnel_session_losses_total: 0,
    'sshtunnel_connections{state="open"}': 0,
    'sshtunnel_connections_ended_total{code="OK"}': 1,
    'sshtunnel_forwarded_bytes_total{direction="up"}': MIB,
    'sshtunnel_forwarded_bytes_total{direction="down"}': MIB,
    'sshtunnel_dropped_bytes_total{direction="down"}': 0,
    [`sshtunnel_forward_listening${labels}}`]: 1,
    [`sshtunnel_forward_connections_accepted_total${labels}}`]: 1,
    [`sshtunnel_forward_bytes_total${labels},direction="up"}`]: MIB,
  })) {
    assert.equal(samples.get(name), value, name);
  }
  const [info] = [...samples.keys()].filter((name) => name.startsWith('sshtunnel_build_info{'));
  assert.match(info, /^sshtunnel_build_info\{version="\d+\.\d+\.\d+.*",node="v\d+\..*"\}$/);
  const start = samples.get('process_start_time_seconds');
  assert.ok(start > Date.now() / 1000 - 600 && start <= Date.now() / 1000, `${start}`);

  await server.halt();
  await child.report('reconnecting');
  const lost = parseMetrics(await scrape(url));
  assert.equal(lost.get('sshtunnel_sessions'), 0);
  assert.equal(lost.get('sshtunnel_session_losses_total'), 1);
  await server.restart();
});

test('promtool accepts the metrics', { skip: !hasPromtool && 'no promtool' }, async (t) => {
  const args = ['--json', '--metrics', '0', '-D', '127.0.0.1:0', '-R', '0:127.0.0.1:1'];
  const child = setting.start(t, args);
  const [, url] = await child.says('stderr', /^Serving (http:\/\/127\.0\.0\.1:\d+\/metrics)$/m);
  await child.report('listening');
  await child.report('listening');
  const check = (input) => {
    const { status, stdout, stderr } = spawnSync(findProgram('promtool'), ['check', 'metrics'], {
      input,
      encoding: 'utf8',
    });
    return { status, output: stdout + stderr };
  };
  const text = await scrape(url);
  assert.deepEqual(check(text), { status: 0, output: '' });
  // It does find faults.
  assert.notEqual(check(text.replaceAll('sshtunnel_logons_total', 'sshtunnel_logons')).status, 0);
});

test('one server serves the health checks and the metrics if they have one address', async (t) => {
  const child = setting.start(t, ['--json', '--metrics', '0', '--health', '0', '-D', '127.0.0.1:0']);
  const [, port] = await child.says('stderr', /^Serving http:\/\/127\.0\.0\.1:(\d+)\/metrics$/m);
  const [, other] = await child.says('stderr', /^Serving http:\/\/127\.0\.0\.1:(\d+)\/livez/m);
  assert.equal(other, port);
  await child.report('listening');
  for (const path of ['livez', 'readyz', 'metrics'])
    await until(async () => (await fetch(`http://127.0.0.1:${port}/${path}`)).status === 200);
  child.signal('SIGTERM');
  assert.equal(await child.exit, 0);
});
