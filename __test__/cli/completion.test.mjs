// `sshtunnel completion`: what it completes, and its scripts in bash, zsh and fish.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { Cli } from '../helpers/cli.mjs';
import { ensurePackages } from '../helpers/ensure-sshd.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { ROOT, run } from '../helpers/process.mjs';

const require = createRequire(import.meta.url);
const { candidates } = require('../../lib/cli/completion/candidates.js');
const { COMMANDS, FLAGS } = require('../../lib/cli/help.js');
const { FLAGS: OF_PARSER } = require('../../lib/cli/arguments.js');
const { query } = require('../../lib/cli/print.js');

const folder = temporaryFolder('completion');
after(folder.remove);
mkdirSync(folder.at('bin'));
// The scripts run the command by its name.
const program = join(ROOT, 'bin', 'sshtunnel.js');
writeFileSync(folder.at('bin/sshtunnel'), `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`, { mode: 0o755 });
const env = {
  ...process.env,
  PATH: `${folder.at('bin')}${delimiter}${process.env.PATH}`,
  HOME: folder.path,
  NODE_DISABLE_COMPILE_CACHE: '1',
  TERM: 'xterm',
};
const included = folder.write('Host db-replica\n  DynamicForward 1080\n', 'included');
const marker = folder.at('was-run');
const config = folder.write(
  `Host db db-old *.internal !no
  LocalForward 5432 db.internal:5432
Host plain
  HostName 127.0.0.1
Match exec "touch ${marker}"
  User nobody
Include ${included}
`,
  'config',
);

/** The values of the candidates. */
const values = (...words) => candidates(words).map(({ value }) => value);

test('every flag is completed, with a description', () => {
  const found = candidates(['-']);
  const written = OF_PARSER.map((flag) => (flag.startsWith('--') ? flag : `-${flag}`));
  const entries = Object.values(FLAGS).flat();
  for (const { names } of entries)
    for (const name of names)
      assert.ok(
        found.some(({ value }) => value === name.split(' ')[0]),
        name,
      );
  for (const { value, text } of found) {
    assert.ok(text.length > 0, value);
    assert.ok(written.includes(value) || /^-v+$/.test(value), value);
  }
  assert.deepEqual(values('--no'), ['--no-view']);
  assert.deepEqual(values('run', '--no'), ['--no-urls', '--no-view']);
});

test('requests, queries, algorithms and directives are completed', () => {
  assert.deepEqual(values('-O', 'c'), ['cancel', 'check']);
  assert.deepEqual(values('-Oex'), ['-Oexit']);
  assert.deepEqual(values('-NQ', 'kex'), ['kex', 'kexalgorithms']);
  assert.deepEqual(values('-c', 'aes256-g'), ['aes256-gcm@openssh.com']);
  assert.deepEqual(values('-c', '+aes256-ctr,aes256-'), ['+aes256-ctr,aes256-gcm@openssh.com']);
  assert.deepEqual(values('-o', 'Serve'), ['ServerAliveCountMax=', 'ServerAliveInterval=']);
  assert.deepEqual(values('-o', 'linger='), ['linger=yes', 'linger=no']);
  assert.deepEqual(values('-oBatchMode=y'), ['-oBatchMode=yes']);
  assert.deepEqual(values('-o', 'StrictHostKeyChecking=a'), [
    'StrictHostKeyChecking=ask',
    'StrictHostKeyChecking=accept-new',
  ]);
  assert.deepEqual(
    values('-o', 'MACs='),
    query('mac').map((name) => `MACs=${name}`),
  );
  for (const name of ['Host', 'Match', 'Include', 'ForwardX11'])
    assert.ok(!values('-o', name).includes(`${name}=`), name);
});

test('hosts of ssh_config are completed, without patterns, and no command is run', () => {
  const from = ['-F', config];
  const hosts = values(...from, '').filter((name) => /^(db|plain)/.test(name));
  assert.deepEqual(hosts, ['db', 'db-old', 'db-replica', 'plain']);
  assert.deepEqual(values(...from, 'me@pl'), ['me@plain']);
  assert.deepEqual(values(...from, '-J', 'db,me@pl'), ['db,me@plain']);
  assert.deepEqual(values(...from, '-o', 'ProxyJump=plai'), ['ProxyJump=plain']);
  assert.deepEqual(values(...from, 'db', 'p'), [], 'there is one destination');
  assert.deepEqual(values(...from, 'db', '-p', ''), []);
  assert.throws(() => readFileSync(marker), { code: 'ENOENT' });
});

test('subcommands are completed, and what follows them', () => {
  for (const { names, text } of COMMANDS) {
    const [found] = candidates([names[0]]).filter(({ value }) => value === names[0]);
    assert.deepEqual(found, { value: names[0], text });
  }
  assert.deepEqual(values('completion', ''), ['bash', 'zsh', 'fish']);
  assert.deepEqual(values('completion', 'bash', ''), []);
  assert.deepEqual(values('service', ''), ['install', 'uninstall']);
  assert.deepEqual(values('service', 'install', '-F', config, ''), ['db', 'db-old', 'db-replica']);
  assert.deepEqual(values('service', '--p'), ['--print']);
  assert.deepEqual(values('run', '--env', 'PAT'), ['PATH']);
  assert.deepEqual(values('run', 'db', '--', 'ps'), []);
  // In a subcommand, -n has a value, and -f has none.
  assert.deepEqual(values('logs', '-n', ''), []);
});

test('the script of an unknown shell is an error', async (t) => {
  for (const args of [['completion'], ['completion', 'tcsh'], ['completion', 'bash', 'zsh']]) {
    const { status, stdout, stderr } = await Cli.start(t, args).end();
    assert.deepEqual([status, stdout], [255, '']);
    assert.match(stderr, /completion is for one of: bash, zsh, fish/);
  }
});

/** What a shell offers for a command line. */
const SHELLS = {
  bash: (line) => [
    `source <(sshtunnel completion bash)
     [[ $(complete -p sshtunnel) == *'-F _sshtunnel'* ]] || exit 1
     COMP_LINE=$1 COMP_POINT=\${#1} COMP_TYPE=9 COMP_KEY=9
     _sshtunnel sshtunnel
     printf '%s\\n' "\${COMPREPLY[@]}"`,
    'bash',
    line,
  ],
  fish: (line) => [
    `sshtunnel completion fish | source
     complete -C $argv[1]`,
    line,
  ],
};

/** The lines that a shell offers; bash only what it replaces. */
async function offered(shell, line, cwd = folder.path) {
  const { code, stdout, stderr } = await run(shell, ['-c', ...SHELLS[shell](line)], { env, cwd });
  assert.deepEqual([code, stderr], [0, '']);
  return stdout.split('\n').filter(Boolean);
}

test('bash completes', async (t) => {
  if (!ensurePackages(['bash'], ['bash'])) return t.skip('there is no bash');
  for (const [line, expected] of [
    ['sshtunnel -O c', ['cancel', 'check']],
    ['sshtunnel --no', ['--no-view']],
    ['sshtunnel -o Recon', ['Reconnect=']],
    ['sshtunnel -o Reconnect=', ['yes', 'no']],
    ['sshtunnel -oBatchMode=y', ['yes']],
    [`sshtunnel -F ${config} me@pla`, ['plain']],
    ['sshtunnel completion ', ['bash', 'zsh', 'fish']],
    ['sshtunnel -c aes128-gcm@', ['openssh.com']],
    ['sshtunnel -i ', []],
  ])
    assert.deepEqual(await offered('bash', line), expected, line);
});

test('fish completes, with descriptions', async (t) => {
  if (!ensurePackages(['fish'], ['fish'])) return t.skip('there is no fish');
  for (const [line, expected] of [
    ['sshtunnel -O c', ['cancel', 'check']],
    ['sshtunnel --no', ['--no-view\tno live view, even if standard output is a terminal']],
    ['sshtunnel -o Reconnect=', ['Reconnect=yes', 'Reconnect=no']],
    [`sshtunnel -F ${config} me@pla`, ['me@plain']],
    ['sshtunnel completion ', ['bash', 'fish', 'zsh']],
    ['sshtunnel -i incl', ['included']],
  ]) {
    const found = await offered('fish', line);
    assert.deepEqual(found.sort(), expected.sort(), line);
  }
});

/** zsh completes at a terminal only: zpty is one, and a widget prints what is offered in place of completing. */
const ZSH = `
zmodload zsh/zpty
zpty shell 'TERM=dumb zsh -f -i'
zpty -w shell "PROMPT=; unsetopt zle_bracketed_paste; stty -echo; autoload -Uz compinit; compinit -u -d $1/dump; source <(sshtunnel completion zsh)"
zpty -w shell 'zstyle ":completion:*" list-separator "--"
compadd() {
  local -a found; builtin compadd -A found "$@"
  (( $#found )) && print -rl -- "<"$\{^found}">" >>$RESULT
  builtin compadd "$@"
}
finish() { zle complete-word; print -r -- "<end>" >>$RESULT; zle kill-whole-line }
zle -C complete-word complete-word _main_complete; zle -N finish; bindkey "^I" finish; print re''ady'
zpty -r shell out '*ready*'
zpty -w -n shell "$2"$'\\t'
for ((tries = 0; tries < 200; tries++)); do grep -q '<end>' $RESULT 2>/dev/null && break; sleep 0.05; done
zpty -d shell
`.replaceAll('$\\{', '${');

test('zsh completes', async (t) => {
  if (!ensurePackages(['zsh'], ['zsh'])) return t.skip('there is no zsh');
  let count = 0;
  for (const [line, expected] of [
    ['sshtunnel -O c', ['cancel', 'check']],
    ['sshtunnel --no', ['--no-view']],
    ['sshtunnel -o Recon', ['Reconnect=']],
    ['sshtunnel -o Reconnect=', ['Reconnect=yes', 'Reconnect=no']],
    [`sshtunnel -F ${config} me@pla`, ['me@plain']],
    ['sshtunnel completion ', ['bash', 'zsh', 'fish']],
    ['sshtunnel -i incl', ['included']],
  ]) {
    const result = folder.at(`zsh-${++count}`);
    const { code, stderr } = await run('zsh', ['-f', '-c', ZSH, 'zsh', folder.path, line], {
      env: { ...env, RESULT: result },
      cwd: folder.path,
    });
    assert.deepEqual([code, stderr], [0, '']);
    const found = readFileSync(result, 'utf8').matchAll(/^<(.*)>$/gm);
    const names = new Set([...found].map(([, name]) => name).filter((name) => name !== 'end'));
    assert.deepEqual([...names].sort(), expected.sort(), line);
  }
});

test('the scripts pass the checks of their shells', async (t) => {
  const script = (shell) => join(ROOT, 'lib', 'cli', 'completion', `sshtunnel.${shell}`);
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { stdout } = await Cli.start(t, ['completion', shell]).end();
    assert.equal(stdout, readFileSync(script(shell), 'utf8'));
    if (!ensurePackages([shell], [shell])) continue;
    const { code, stderr } = await run(shell, ['-n', script(shell)]);
    assert.deepEqual([code, stderr], [0, ''], shell);
  }
  if (!ensurePackages(['shellcheck'], ['shellcheck'])) return t.skip('there is no shellcheck');
  const { code, stdout } = await run('shellcheck', ['--severity=style', '--shell=bash', script('bash')]);
  assert.deepEqual([code, stdout], [0, '']);
});
