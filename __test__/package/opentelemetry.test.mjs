// Spans of OpenTelemetry: examples/opentelemetry.mjs with the real packages, and the spans of failures.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after } from 'node:test';

import { SpanKind, SpanStatusCode, context, trace } from '@opentelemetry/api';
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { traceTunnels } from 'sshtunnel-native/opentelemetry';

import { test } from '../helpers/bounded.mjs';
import { makeHome } from '../helpers/home.mjs';
import { KIB, Target, behaviors, connect, refusingPort } from '../helpers/peers.mjs';
import { ROOT } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, makeTunnel, openTunnel, roundTrip, withoutForward } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
const nobody = await refusingPort();
const exporter = new InMemorySpanExporter();
const tracerProvider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
// The context manager.
tracerProvider.register();
after(() => Promise.all([server.stop(), nobody.stop(), tracerProvider.shutdown()]));

/** The spans of this test. */
function traced(t) {
  const stop = traceTunnels({ tracerProvider });
  t.after(() => (stop(), exporter.reset()));
  return () => exporter.getFinishedSpans();
}

const attributesOf = (name, spans) => spans.filter((span) => span.name === name).map(({ attributes }) => attributes);

test('a session and its connection are spans with the attributes of the conventions', async (t) => {
  const spans = traced(t);
  const { tunnel, ...through } = await openTunnel(t, server, behaviors.echo());
  await roundTrip({ tunnel, ...through }, KIB);
  const [opened] = through.eventLog.all('connection');
  await tunnel.promises.shutdown();
  const ended = spans();
  assert.deepEqual(
    ended.map(({ name }) => name),
    ['ssh.connect', 'ssh.forward', 'ssh.session'],
  );
  for (const span of ended) assertIncludes(span, { kind: SpanKind.CLIENT, status: { code: SpanStatusCode.UNSET } });
  const session = {
    'server.address': '127.0.0.1',
    'server.port': server.port,
    'network.transport': 'tcp',
    'network.protocol.name': 'ssh',
    'sshtunnel.session.id': 1,
  };
  assert.deepEqual(attributesOf('ssh.connect', ended), [session]);
  assert.deepEqual(attributesOf('ssh.session', ended), [session]);
  assert.deepEqual(attributesOf('ssh.forward', ended), [
    {
      'server.address': '127.0.0.1',
      'server.port': through.target.port,
      'network.transport': 'tcp',
      'network.peer.address': '127.0.0.1',
      'network.peer.port': opened.remotePort,
      'sshtunnel.connection.id': 1,
      'sshtunnel.forward.id': opened.forwardId,
      'sshtunnel.bytes.up': KIB,
      'sshtunnel.bytes.down': KIB,
      'sshtunnel.dropped.up': 0,
      'sshtunnel.dropped.down': 0,
      'sshtunnel.clean': true,
      'sshtunnel.closed_by': 'graceful',
    },
  ]);
});

test('spans belong to the span in which the tunnel was made', async (t) => {
  const spans = traced(t);
  const parent = tracerProvider.getTracer('test').startSpan('request');
  const tunnel = context.with(trace.setSpan(context.active(), parent), () => makeTunnel(t, server.login, nobody.port));
  await tunnel.promises.connect();
  await tunnel.promises.shutdown();
  parent.end();
  const { traceId, spanId } = parent.spanContext();
  const [connecting, session] = spans();
  for (const span of [connecting, session]) {
    assert.equal(span.spanContext().traceId, traceId);
    assert.equal(span.parentSpanContext.spanId, spanId);
  }
});

test('failures have an error type and the exception, and a disconnected session ends its span', async (t) => {
  const spans = traced(t);
  const refused = makeTunnel(t, { ...server.login, hostKey: 'SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' }, 1);
  await assert.rejects(refused.promises.connect(), { code: 'ERR_SSH_HOST_KEY' });
  const [failed] = spans();
  assertIncludes(failed, { name: 'ssh.connect' });
  assert.equal(failed.attributes['error.type'], 'ERR_SSH_HOST_KEY');
  assert.equal(failed.status.code, SpanStatusCode.ERROR);
  assert.equal(failed.events[0].name, 'exception');

  const { tunnel } = withoutForward(t, server.login);
  await tunnel.promises.connect();
  await once(tunnel.dial('127.0.0.1', nobody.port), 'error');
  await tunnel.promises.shutdown();
  const [unopened] = attributesOf('ssh.forward', spans());
  assert.equal(unopened['error.type'], 'ERR_SSH_OPEN_CONNECT_FAILED');
});

test('after it is stopped, there are no spans', async (t) => {
  const spans = traced(t);
  traceTunnels({ tracerProvider })();
  const stop = traceTunnels({ tracerProvider });
  stop();
  const tunnel = makeTunnel(t, server.login, 1);
  await tunnel.promises.connect();
  await tunnel.promises.shutdown();
  // Those of one subscriber, not of three.
  assert.equal(spans().length, 2);
  assert.throws(() => traceTunnels(true), { code: 'ERR_INVALID_ARG_TYPE' });
});

test('the example writes its spans to standard output', async (t) => {
  const target = await Target.start(behaviors.echo());
  const home = makeHome([server]);
  t.after(() => (home.remove(), target.stop()));
  const args = ['examples/opentelemetry.mjs', '127.0.0.1', server.port, '127.0.0.1', target.port];
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { ...process.env, HOME: home.path },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  const listening = new Promise((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      output += `${line}\n`;
      const [, port] = /^127\.0\.0\.1:(\d+) -> /.exec(line) ?? [];
      if (port !== undefined) resolve(Number(port));
    });
  });
  const client = await connect(await listening);
  await client.send(KIB);
  client.end();
  assertIncludes(await client.ended, { bytes: KIB, end: 'FIN' });
  const exit = once(child, 'close');
  child.kill('SIGTERM');
  assert.deepEqual(await exit, [0, null]);
  for (const name of ['ssh.connect', 'ssh.forward', 'ssh.session']) assert.match(output, new RegExp(`name: '${name}'`));
  assert.match(output, new RegExp(`'server.port': ${target.port}`));
});
