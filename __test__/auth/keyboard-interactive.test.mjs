// keyboard-interactive, authentication in several steps, and the order of methods, with the ssh2 server.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after } from 'node:test';

import ssh2 from 'ssh2';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { hasPam, makePamService } from '../helpers/pam.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const folder = temporaryFolder('keyboard');
const userKey = makeKey(`${folder.path}/key`, { type: 'ecdsa' });
const publicKey = ssh2.utils.parseKey(userKey.publicKey);
after(() => folder.remove());

const QUESTION = { prompt: 'Code: ', echo: false };
const REFUSED = { code: 'ERR_SSH_AUTH' };

/** A server whose `authenticate` decides, and the methods that were requested. */
async function serve(t, authenticate) {
  const methods = [];
  const server = await Ssh2Server.start({
    authenticate: (context, session) => {
      // Offering a key and signing with it are one attempt.
      const probe = context.method === 'publickey' && !context.signature;
      if (!probe) methods.push(context.method);
      authenticate(context, session);
    },
  });
  server.tunnels = [];
  t.after(
    async () => {
      await Promise.all(server.tunnels.map((tunnel) => tunnel.promises.shutdown()));
      await server.stop();
    },
    { timeout: 10_000 },
  );
  return { server, methods };
}

function make(server, options) {
  const tunnel = new SSHTunnel({
    ...server.login,
    password: undefined,
    forwardHost: '127.0.0.1',
    forwardPort: 1,
    ...options,
  });
  server.tunnels.push(tunnel);
  return tunnel;
}

/** Sends one round of prompts after the other, then decides by all answers. */
function ask(context, rounds, authServer, methods) {
  const answers = [];
  const next = () => {
    if (answers.length === rounds.length) {
      return authServer(answers) ? context.accept() : context.reject(methods);
    }
    context.prompt(rounds[answers.length], 'The name', 'The instructions', (given) => {
      if (given instanceof Error) return; // the client tries another method
      answers.push(given);
      next();
    });
  };
  next();
}

const hasKey = (context) => context.key.data.equals(publicKey.getPublicSSH());
const signed = (context) =>
  !context.signature || publicKey.verify(context.blob, context.signature, context.hashAlgo) === true;

const ROUNDS = [
  [
    { prompt: 'User: ', echo: true },
    { prompt: 'Password: ', echo: false },
  ],
  [],
  [QUESTION],
];

function asking(authServer) {
  return (context) => {
    if (context.method !== 'keyboard-interactive') return context.reject(['keyboard-interactive']);
    ask(context, ROUNDS, authServer, ['keyboard-interactive']);
  };
}

test('keyboard-interactive: several rounds of prompts', async (t) => {
  const { server, methods } = await serve(
    t,
    asking((answers) => {
      assert.deepEqual(answers, [['ann', 'pässword'], [], ['']]);
      return true;
    }),
  );
  const tunnel = make(server, { tryKeyboard: true });
  const asked = [];
  tunnel.on('keyboard-interactive', (name, instructions, lang, prompts, finish) => {
    asked.push({ name, instructions, lang, prompts });
    const answers = prompts.length === 2 ? ['ann', 'pässword'] : [''];
    setImmediate(finish, answers);
  });
  await tunnel.promises.connect();
  const texts = { name: 'The name', instructions: 'The instructions', lang: '' };
  // A round without prompts is not shown to the user.
  assert.deepEqual(asked, [
    { ...texts, prompts: ROUNDS[0] },
    { ...texts, prompts: ROUNDS[2] },
  ]);
  assert.deepEqual(methods, ['none', 'keyboard-interactive']);
});

test('keyboard-interactive: a wrong answer fails authentication', async (t) => {
  const { server, methods } = await serve(
    t,
    asking(() => false),
  );
  const tunnel = make(server, { tryKeyboard: true });
  tunnel.on('keyboard-interactive', (name, instructions, lang, prompts, finish) => {
    finish(prompts.map(() => 'hunter2'));
  });
  await assert.rejects(tunnel.promises.connect(), (error) => {
    assert.equal(error.code, 'ERR_SSH_AUTH');
    assert.match(error.message, /tried none, keyboard-interactive; the server accepts keyboard-interactive/);
    assert.doesNotMatch(error.message, /hunter2/);
    return true;
  });
  assert.deepEqual(methods, ['none', 'keyboard-interactive'], 'once');
});

/** Prompts for a code, or accepts a password. */
const codeOrPassword = (context) => {
  const all = ['keyboard-interactive', 'password'];
  if (context.method === 'password' && context.password === 'right') return context.accept();
  if (context.method !== 'keyboard-interactive') return context.reject(all);
  ask(context, [[QUESTION]], ([[code]]) => code === '7', all);
};

test('keyboard-interactive works with promise, callback and blocking calls', async (t) => {
  const { server, methods } = await serve(t, codeOrPassword);
  const answering = (options) => {
    const tunnel = make(server, { tryKeyboard: true, ...options });
    return tunnel.on('keyboard-interactive', (name, instructions, lang, prompts, finish) => finish(['7']));
  };
  await answering().promises.startListening();
  const called = answering();
  await new Promise((resolve, reject) => called.connect((error) => (error ? reject(error) : resolve())));
  // Nobody can answer while the thread is blocked, so not even a password is tried.
  for (const method of ['connect', 'startListening']) {
    methods.length = 0;
    assert.throws(
      () => answering({ password: 'right' })[method](),
      (error) => {
        assert.equal(error.code, 'ERR_TUNNEL_WOULD_DEADLOCK');
        assert.match(error.message, /keyboard-interactive/);
        return true;
      },
    );
    assert.deepEqual(methods, []);
  }
  called.connect(); // the session is ready, so nothing is left to ask
});

test("the next method is tried when there is no 'keyboard-interactive' listener", async (t) => {
  const { server, methods } = await serve(t, codeOrPassword);
  const ways = [
    (tunnel) => tunnel, // there is no listener
    (tunnel) => tunnel.on('keyboard-interactive', (...args) => args.at(-1)()),
    (tunnel) => tunnel.on('keyboard-interactive', (...args) => args.at(-1)([])),
  ];
  for (const way of ways) {
    methods.length = 0;
    await way(make(server, { tryKeyboard: true, password: 'right' })).promises.connect();
    assert.deepEqual(methods, ['none', 'keyboard-interactive', 'password']);
  }
});

test('finish() validates its argument and takes effect once', async (t) => {
  const { server } = await serve(t, codeOrPassword);
  const tunnel = make(server, { tryKeyboard: true });
  let thrown = 0;
  tunnel.on('keyboard-interactive', (name, instructions, lang, prompts, finish) => {
    const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
    for (const bad of ['hunter2', null, 7, [7], [null], { length: 1 }]) {
      assert.throws(
        () => finish(bad),
        (error) => {
          assert.ok(error instanceof TypeError);
          assert.equal(error.code, type.code);
          assert.doesNotMatch(error.message, /hunter2|7/);
          thrown++;
          return true;
        },
      );
    }
    assert.throws(() => finish(['a', 'b']), { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' });
    finish(['7']);
    finish(['8']);
    finish();
  });
  await tunnel.promises.connect();
  assert.equal(thrown, 6);
});

test('readyTimeout ends the wait for answers, and late answers are ignored', async (t) => {
  const { server } = await serve(t, codeOrPassword);
  const tunnel = make(server, { tryKeyboard: true, readyTimeout: 500 });
  const asked = once(tunnel, 'keyboard-interactive');
  const since = performance.now();
  await assert.rejects(tunnel.promises.connect(), { code: 'ETIMEDOUT', message: /answers to the server's questions/ });
  assert.ok(performance.now() - since < 5000);
  const finish = (await asked).at(-1);
  finish(['7']);
});

test('a server that disconnects while prompts are open fails the connect', async (t) => {
  const { server, methods } = await serve(t, (context) => {
    if (context.method === 'password') return context.accept();
    if (context.method === 'none') return context.reject(['keyboard-interactive', 'password']);
    context.prompt([QUESTION], () => {});
    setTimeout(() => context.reject(['password']), 50);
  });
  const tunnel = make(server, { tryKeyboard: true, password: 'right' });
  const asked = once(tunnel, 'keyboard-interactive');
  await tunnel.promises.connect();
  assert.deepEqual(methods, ['none', 'keyboard-interactive', 'password']);
  (await asked).at(-1)(['7']);
  await tunnel.promises.connections();
});

test('the password answers a single hidden prompt when the server supports only keyboard-interactive', async (t) => {
  const { server, methods } = await serve(t, (context) => {
    if (context.method !== 'keyboard-interactive') return context.reject(['keyboard-interactive']);
    ask(context, [[{ prompt: 'Password: ', echo: false }], []], ([[given]]) => given === 'right', [
      'keyboard-interactive',
    ]);
  });
  await make(server, { password: 'right' }).promises.connect();
  assert.deepEqual(methods, ['none', 'keyboard-interactive'], 'no password in a way that the server does not list');
  await assert.rejects(make(server, { password: 'wrong' }).promises.connect(), REFUSED);
  await assert.rejects(make(server, { password: 'right', authHandler: ['password'] }).promises.connect(), REFUSED);
});

test('a refused password is not reused as an answer, and a visible prompt never gets it', async (t) => {
  const all = ['password', 'keyboard-interactive'];
  const { server, methods } = await serve(t, (context) => context.reject(all));
  await assert.rejects(make(server, { password: 'wrong' }).promises.connect(), REFUSED);
  assert.deepEqual(methods, ['none', 'password']);
  const { server: other } = await serve(t, (context) => {
    if (context.method !== 'keyboard-interactive') return context.reject(['keyboard-interactive']);
    ask(context, [[{ prompt: 'User: ', echo: true }]], () => assert.fail('answered'), all);
  });
  await assert.rejects(make(other, { password: 'right' }).promises.connect(), {
    ...REFUSED,
    message: /more than a password/,
  });
});

/** Requires all `steps`, in order. */
function sequence(steps) {
  return (context, session) => {
    session.left ??= [...steps];
    const done = () => {
      session.left.shift();
      if (session.left.length === 0) context.accept();
      else context.reject(session.left.slice(0, 1), true);
    };
    const refused = () => context.reject(session.left.slice(0, 1));
    if (context.method !== session.left[0]) return refused();
    if (context.method === 'password') return context.password === 'right' ? done() : refused();
    if (context.method === 'publickey') {
      if (!hasKey(context) || !signed(context)) return refused();
      return context.signature ? done() : context.accept();
    }
    context.prompt([QUESTION], ([code]) => (code === '7' ? done() : refused()));
  };
}

for (const [steps, expected] of [
  [
    ['publickey', 'password'],
    ['publickey', 'password'],
  ],
  [
    ['keyboard-interactive', 'publickey'],
    ['publickey', 'keyboard-interactive', 'publickey'],
  ],
  [
    ['password', 'keyboard-interactive', 'publickey'],
    ['publickey', 'password', 'keyboard-interactive', 'publickey'],
  ],
]) {
  test(`partial success: ${steps.join(', then ')}`, async (t) => {
    const { server, methods } = await serve(t, sequence(steps));
    const given = { privateKey: userKey.privateKey, password: 'right', tryKeyboard: true };
    const tunnel = make(server, given);
    tunnel.on('keyboard-interactive', (...args) => args.at(-1)(['7']));
    await tunnel.promises.connect();
    assert.deepEqual(methods, expected);
    // One step is missing.
    const short = make(server, { ...given, password: undefined, privateKey: undefined });
    short.on('keyboard-interactive', (...args) => args.at(-1)(['7']));
    await assert.rejects(short.promises.connect(), REFUSED);
  });
}

test('methods are tried in the order of authHandler', async (t) => {
  const all = ['publickey', 'password', 'keyboard-interactive'];
  const { server, methods } = await serve(t, (context) => context.reject(all));
  const given = { privateKey: userKey.privateKey, password: 'right', tryKeyboard: true };
  for (const [authHandler, expected] of [
    [undefined, ['publickey', 'keyboard-interactive', 'password']],
    [
      ['password', 'publickey'],
      ['password', 'publickey'],
    ],
    [
      ['none', 'password'],
      ['none', 'password'],
    ],
    [['agent', 'keyboard-interactive'], ['keyboard-interactive']],
  ]) {
    methods.length = 0;
    await assert.rejects(make(server, { ...given, authHandler }).promises.connect(), REFUSED);
    assert.deepEqual(methods, expected);
  }
  const { server: open } = await serve(t, (context) => context.accept());
  await make(open, { authHandler: ['none'] }).promises.connect();
});

const noPam = hasPam() ? false : 'only root can make a service of PAM';

test('prompts of PAM are answered, with sshd', { skip: noPam }, async (t) => {
  const { program, remove } = makePamService('open sesame');
  t.after(remove);
  const config = ['UsePAM yes', 'KbdInteractiveAuthentication yes', 'PubkeyAuthentication no'];
  const server = await Sshd.start({ program, config });
  t.after(() => server.stop());
  const connectOnce = async (options, answer) => {
    const tunnel = new SSHTunnel({
      ...server.login,
      privateKey: undefined,
      forwardHost: '127.0.0.1',
      forwardPort: 1,
      ...options,
    });
    const asked = [];
    tunnel.on('keyboard-interactive', (name, instructions, lang, prompts, finish) => {
      asked.push(...prompts);
      finish([answer]);
    });
    await tunnel.promises.connect().finally(() => tunnel.promises.shutdown());
    return asked;
  };
  assert.deepEqual(await connectOnce({ tryKeyboard: true }, 'open sesame'), [{ prompt: 'Password: ', echo: false }]);
  await server.logged(/Accepted keyboard-interactive\/pam/);
  await assert.rejects(connectOnce({ tryKeyboard: true }, 'wrong'), REFUSED);
  // Without a listener the password is the answer.
  assert.deepEqual(await connectOnce({ password: 'open sesame' }), []);
  await assert.rejects(connectOnce({ password: 'wrong' }), REFUSED);
});
