// Random text in every place of ssh_config files and of the command line: no process is started that the text does not
// name, and what ssh accepts is read in the same way or rejected.
//
// SSHTUNNEL_WORDS_SEED and SSHTUNNEL_WORDS_ROUNDS set the seed and the number of rounds.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { Canaries } from '../helpers/canaries.mjs';
import { wholeReading, wholeTruth } from '../helpers/ssh-config.mjs';

const require = createRequire(import.meta.url);
const { UsageError, parseArguments } = require('../../lib/cli/arguments.js');
const { Settings } = require('../../lib/cli/settings.js');
const { readConfig } = require('../../lib/ssh-config/index.js');
const { hasControl } = require('../../lib/validate/names.js');

const SEED = Number(process.env.SSHTUNNEL_WORDS_SEED ?? 20_261_129);
const ROUNDS = Number(process.env.SSHTUNNEL_WORDS_ROUNDS ?? 1);
/** Cases of one round. */
const STARTS = 1200;
const COMPARISONS = 250;
const LIMIT = 60_000 + ROUNDS * 60_000; // ms

const canaries = new Canaries('evil', 'asked');
after(() => canaries.remove());
const file = canaries.file('config');

/** The same numbers for the same seed. */
class Random {
  #state;

  constructor(seed) {
    this.#state = seed >>> 0;
  }

  /** xorshift32, never stuck at zero. */
  below(count) {
    let state = this.#state || 0x9e37_79b9;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state >>> 0;
    return this.#state % count;
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  chance(percent) {
    return this.below(100) < percent;
  }
}

/** Characters with a meaning for a shell, ssh_config, C or a terminal, and others. */
const CHARACTERS = [
  ...'\0\x01\t\n\v\f\r\x1b\x1f\x7f\x85\x9b\u2028\ufeff', ...' "\'`$\\;&|<>(){}[]*?!#%=,.:@/~^+-_', ...'aZ09', 'ä', '\u200b', '\u202e', '💥', '\ud800', '\udfff',
];

/** Each runs `evil` if a shell interprets it. */
const CODE = [
  '$(evil)', '`evil`', ';evil', 'x;evil;', '|evil', '||evil', '&evil', '&&evil', '\nevil\n', '\revil', "';evil;'", '";evil;"', '\\";evil;\\"', "'$(evil)'", '"$(evil)"', '$[`evil`]', '${x:-$(evil)}', '<(evil)', '>(evil)',
  '(evil)', '{evil,}', 'x\\', "x' evil '", '\u2028evil', 'x #\nevil', '%h;evil', '%%;evil', '${EVIL}', '$EVIL', '%r', '%n', 'x -oProxyCommand=evil', '-oProxyCommand=evil', '--', 'evil',
];
/** Each sets `evil` if it becomes a directive; for flags, which are one directive. */
const DIRECTIVES = ['\nProxyCommand evil', '\rProxyCommand evil', '"\nProxyCommand evil\n#"', 'x\n\tMatch exec evil\n', 'x"\nMatch exec "evil', '\u2028ProxyCommand evil', 'x\0\nProxyCommand evil', '\vProxyCommand evil\v'];
/** A text with random characters. */
function noisy(random, text) {
  let result = text;
  for (let count = random.chance(20) ? 1 + random.below(3) : 0; count > 0; count--) {
    const at = random.below(result.length + 1);
    result = result.slice(0, at) + random.pick(CHARACTERS) + result.slice(at);
  }
  return result;
}

const encoded = (text) => Array.from(Buffer.from(text), (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
const quoted = (random, text) => random.pick([text, `"${text}"`, `'${text}'`, `"${text.replace(/["\\]/g, '\\$&')}"`]);

/** The words of one case: a few are attacks, the others valid, so that many cases are accepted. */
class Words {
  #random;
  #attacks;
  #lists;

  constructor(random, ...lists) {
    this.#random = random;
    this.#attacks = random.below(3);
    this.#lists = lists;
  }

  /** @param {...string} fitting harmless words */
  word(...fitting) {
    const random = this.#random;
    if (this.#attacks === 0 || random.chance(50)) return random.pick(fitting);
    this.#attacks -= 1;
    return noisy(random, random.pick(random.pick(this.#lists)));
  }
}

/** The flags of a command line without its files, in any order. */
function flags(random, words) {
  const user = () => words.word('u', 'DOMAIN\\u');
  const host = () => words.word('a.example', '127.0.0.1');
  const ways = [
    () => ['-l', user()], () => ['-J', host()], () => ['-J', `${user()}@a`], () => ['-J', `a,${user()}@b:1`], () => ['-J', `ssh://${encoded(user())}@a`], () => ['-i', words.word('/a/b')], () => ['-b', words.word('127.0.0.1')],
    () => ['-o', `User=${quoted(random, user())}`], () => ['-o', `HostName ${quoted(random, host())}`], () => ['-o', `HostKeyAlias=${quoted(random, host())}`], () => ['-o', words.word('Compression no')], () => ['-o', `Port=${words.word('22')}`],
    () => ['-o', `ProxyJump=${host()}`], () => ['-o', `ConnectTimeout=${words.word('5')}`], () => ['-p', words.word('22')], () => ['-P', words.word('tag')], () => ['-c', words.word('aes128-ctr')], () => ['-S', words.word('none')],
    () => ['-L', `1:${host()}:1`], () => ['-L', `1:/${words.word('a')}`], () => ['-R', `${host()}:1:a:1`], () => ['-D', `${host()}:1`], () => ['-W', `${host()}:1`], () => [random.pick(['-4', '-C', '-g', '-N', '-v'])],
    () => ['-o', words.word('BatchMode yes')], () => ['-l', user()],
  ];
  return Array.from({ length: random.below(4) }, () => random.pick(ways)()).flat();
}

function destination(random, words) {
  const user = () => words.word('u', 'u@example.org');
  const ways = [() => [words.word('h', 'a.example')].flatMap((host) => ['--', host]), () => [`u${user()}@h`], () => [`ssh://${encoded(user())}@h`], () => [`ssh://u@h:${words.word('22')}`], () => [`ssh://u${user()}@h`], () => [`h${words.word('')}`]];
  return random.pick(ways)();
}

/** A file, in which commands run `asked`, with tokens; the other lines are random. */
function config(random, words) {
  const value = (...fitting) => quoted(random, words.word(...fitting).replaceAll('\n', ' '));
  const name = () => value('a', 'a.example');
  const names = [() => `User ${name()}`, () => `HostName ${name()}`, () => `HostKeyAlias ${name()}`];
  const lines = [
    ...names, ...names, ...names, ...names, () => `IdentityFile ${value('/a/b')}`, () => `CertificateFile ${value('/a/b')}`, () => `Tag ${name()}`, () => `Port ${value('22')}`, () => `ProxyJump ${value('a')}`, () => `ProxyJump ${words.word('u').replaceAll('\n', ' ')}@a`,
    () => `Host ${value('*')}`, () => `Match host ${value('*')}`, () => `Match user ${value('*')}`, () => `Match originalhost ${value('*')}`, () => `Match ${value('all')}`, () => `LocalForward 1 ${words.word('a').replaceAll('\n', ' ')}:1`, () => `IdentityAgent ${value('none')}`,
    () => `UserKnownHostsFile ${value('/a')}`, () => `Include ${value('/nothing')}`, () => `BindAddress ${value('127.0.0.1')}`, () => `ConnectTimeout ${value('5')}`, () => `LocalCommand ${value('evil')}`, () => 'PermitLocalCommand yes',
    () => `KnownHostsCommand ${value('evil')}`, () => `RemoteCommand ${value('evil')}`, () => `SetEnv A=${value('evil')}`, () => `PKCS11Provider ${value('evil')}`, () => `SecurityKeyProvider ${value('evil')}`, () => `XAuthLocation ${value('evil')}`, () => value('# comment'),
  ];
  /** Each token in one kind of quotes, or in none. */
  const asked = (letters, double) => {
    const tokens = Array.from({ length: 1 + random.below(4) }, () => {
      const quote = random.pick(['', "'", double]);
      return `${quote}${random.pick(['', 'x', 'x-'])}%${random.pick(letters)}${quote}`;
    });
    return `asked ${tokens.join(' ')}`;
  };
  const match = () => `"${asked([...'hnrkudlLip%', ...'hnrk'], '\\"')}"`;
  const commands = [() => `Match exec ${match()}`, () => `Match all exec ${match()}`, () => `Match !exec ${match()}`, () => `Match host * exec ${match()} user *`, () => `ProxyCommand ${asked([...'hnrp%'], '"')}`];
  const some = Array.from({ length: random.below(4) }, () => random.pick(lines)());
  const ran = Array.from({ length: random.below(3) }, () => random.pick(commands)());
  // Definitions usually precede their uses.
  const all = random.chance(70) ? [...some, ...ran] : [...ran, ...some];
  return { text: `${all.join('\n')}\n`, asks: ran.length > 0 };
}

/** Errors with a code or of the command line; any other error is a bug. */
function isRefusal(error) {
  return error instanceof UsageError || /^ERR_(?:SSH_CONFIG|INVALID_ARG_VALUE|INVALID_ARG_TYPE|OUT_OF_RANGE)$/.test(error.code);
}

/** Makes a tunnel and runs its ProxyCommand. @returns {Promise<boolean>} whether there was one */
async function use(options) {
  const tunnel = new SSHTunnel({ ...options, readyTimeout: 10_000, reconnect: false });
  const { proxyCommand } = options.jump?.[0] ?? options;
  if (proxyCommand === undefined) return false;
  tunnel.on('error', () => {});
  await assert.rejects(tunnel.promises.connect());
  return true;
}

/** The command, up to where it would connect. */
async function runCommand(args) {
  const line = parseArguments(args);
  if (line.host === undefined) return false;
  const settings = new Settings(line);
  const { options, wipe } = settings.read();
  settings.wipe();
  try {
    return await use({ ...options, strictHostKeyChecking: true });
  } finally {
    wipe();
  }
}

/** fromConfig with options of its caller's, up to where it would connect. */
async function runConfig(random, words) {
  const overrides = { configFile: file };
  for (const name of ['host', 'username', 'hostKeyAlias']) if (random.chance(40)) overrides[name] = words.word('a', 'a.example');
  if (random.chance(10)) overrides.port = random.pick([22, '22', '22;evil', 0, 65_536]);
  const { options, wipe } = readConfig(words.word('h'), overrides);
  try {
    return await use(options);
  } finally {
    wipe();
  }
}

test('random text never starts a process that it does not name', { timeout: LIMIT }, async (t) => {
  canaries.adopt(t);
  process.env.EVIL = '$(evil)';
  t.after(() => delete process.env.EVIL);
  t.diagnostic(`SSHTUNNEL_WORDS_SEED=${SEED}, ${ROUNDS} rounds of ${STARTS} cases`);
  const random = new Random(SEED);
  const counts = { made: 0, refused: 0, asked: 0 };
  for (let count = 0; count < ROUNDS * STARTS; count++) {
    const asCommand = random.chance(60);
    const words = new Words(random, CODE, ...(asCommand ? [DIRECTIVES] : []));
    const args = ['-F', file, ...flags(random, words), ...destination(random, words)];
    const { text, asks } = config(random, new Words(random, CODE.filter((code) => code !== '-oProxyCommand=evil')));
    writeFileSync(file, text, { mode: 0o600 });
    try {
      if (asCommand) await runCommand(args);
      else await runConfig(random, words);
      counts.made += 1;
    } catch (error) {
      if (!isRefusal(error)) throw new Error(`case ${count}: ${JSON.stringify({ text, args, asCommand })}`, { cause: error });
      counts.refused += 1;
    }
    const started = canaries.started();
    const other = started.filter((line) => !line.startsWith('asked ') || /^evil/m.test(line));
    assert.deepEqual(other, [], `case ${count}: ${JSON.stringify({ text, args, asCommand })}`);
    if (!asks) assert.deepEqual(started, [], `case ${count}: ${JSON.stringify({ text, args })}`);
    counts.asked += started.length;
  }
  t.diagnostic(JSON.stringify(counts));
  // Otherwise the test would show nothing.
  assert.ok(counts.made > STARTS / 20 && counts.refused > STARTS / 20 && counts.asked > STARTS / 20, JSON.stringify(counts));
});

/** Directives with valid values; random ones are added. */
const KEYWORDS = {
  User: ['u', 'DOMAIN\\u', '"a b"'], HostName: ['%h.x', 'a.b', '::1'], HostKeyAlias: ['a', 'A.B'], Port: ['22', '022'], BindAddress: ['127.0.0.1', '::1'], ConnectTimeout: ['1h30m', '5', '1H2d'], ServerAliveInterval: ['30', '1m'],
  ServerAliveCountMax: ['5', '-1'], IdentityFile: ['/a/b', '~/x', '"a b"', 'none'], CertificateFile: ['/a/b'], IdentitiesOnly: ['yes', 'no'], Compression: ['yes', 'TRUE'], AddressFamily: ['inet6', 'any'], StrictHostKeyChecking: ['accept-new', 'off'],
  RekeyLimit: ['1G 1h', '2M 30m'], ProxyCommand: ['nc %h %p', 'none', 'a # b'], ProxyJump: ['u@h:22', 'a,b', 'none', '[::1]:22', 'ssh://u%41@a:1'], LocalForward: ['80 a:80', '80 [::1]:80', 'a:80:b:80'],
  PreferredAuthentications: ['publickey,password'], GatewayPorts: ['yes'], UserKnownHostsFile: ['/a /b', 'none', '"/a b"'], HashKnownHosts: ['no'],
};
const VALUES = [
  'a', 'h', 'a.b', 'u@h', 'u@h:22', '[::1]:22', '::1', 'yes', 'no', 'none', '22', '022', '0', '65535', '65536', '1h30m', '1H2d', '5', '-1', 'accept-new', 'ask', 'inet6', 'any', '/a/b', '~/x', '80 a:80', '80 [::1]:80',
  'a:80:b:80', '"a b"', "'a b'", 'a\\ b', '"a\\"b"', 'a # b', 'a#b', 'a=b', '=a', '"', "'", '""', 'a,b', 'a, b', '%h', '%%', '%h.x', '%', '%x', 'DOMAIN\\u', 'publickey,password', 'ssh://u@a:1', 'ssh://u%41@a', 'ssh://u%00@a', 'u;x@a', '$(x)@a',
  '-a', 'a;b', 'a`b', 'ä',
];
/** Those that separate and quote, and that others might take for it. No half of a pair: no file has one. */
const SEPARATING = [...' \t"\'\\#=,:%@/;-$!*?', 'a', '1', 'ä', '\r', '\f', '\v', '\x01', '\x1b', '\x7f'];

function scattered(random, text) {
  let result = text;
  for (let count = random.chance(35) ? 1 + random.below(2) : 0; count > 0; count--) {
    const at = random.below(result.length + 1);
    result = result.slice(0, at) + random.pick(SEPARATING) + result.slice(at);
  }
  return result;
}

/**
 * What ssh accepts is read in the same way, or rejected as an invalid name; what ssh rejects is rejected.
 * @returns {boolean} whether ssh takes it
 */
function agree({ text, args = [], host }, count) {
  writeFileSync(file, text, { mode: 0o600 });
  const place = `case ${count}: ${JSON.stringify({ text, args, host })}`;
  const expected = wholeTruth(file, host, args);
  let found;
  try {
    const { lines, host: name } = parseArguments([...args, '--', host]);
    found = wholeReading(file, name, lines);
  } catch (error) {
    if (!(error instanceof UsageError)) throw new Error(place, { cause: error });
    found = { error: { text: error.message } };
  }
  // ssh rejects a jump host that is the host itself; fromConfig accepts it.
  if (expected.error !== undefined) assert.ok(found.error || /jumphost loop/.test(expected.error.text), `${place} is refused by ssh: ${expected.error.text}`);
  else if (found.error === undefined) assert.deepEqual(alike(found), alike(expected), place);
  else assert.ok(mayRefuse({ text, args }, found.error.text), `${place}: ${found.error.text}`);
  return expected.error === undefined;
}

/**
 * Where we refuse what ssh takes: control characters, a keyword that it does not read to its end, what
 * follows an amount, and destinations with characters that are in no name, where it cuts them short or has no
 * use for them any more; likewise a user and a port.
 */
function mayRefuse({ text, args }, refusal) {
  const all = [text.replaceAll('\n', ' '), ...args];
  const [, place] = /'(.*)' is no \[user@\]host/s.exec(refusal) ?? [];
  return all.some((each) => hasControl(each)) || /does not begin with a directive|^Bad port | is not an amount of data/.test(refusal) || (place !== undefined && /[^\w.@:[\]-]|[:@]$|^-|@-/.test(place));
}

/** Equal values that are printed differently. */
function alike(found) {
  // ssh makes an address of a number, and takes the time of a later RekeyLimit where the first has none.
  const { hostname, proxyjump, rekeylimit, ...rest } = found;
  return { ...rest, rekeylimit: rekeylimit?.map((limit) => limit.split(' ')[0]), hostname: hostname?.map((name) => (/^[\d.]+$/.test(name) ? 'number' : name.toLowerCase())), proxyjump: proxyjump?.map((hops) => hops.replace(/[[\]]/g, '')) };
}

test('random text accepted by ssh is read the same way', { timeout: LIMIT }, (t) => {
  t.diagnostic(`SSHTUNNEL_WORDS_SEED=${SEED}, ${ROUNDS} rounds of ${COMPARISONS} cases`);
  const random = new Random(SEED + 1);
  let taken = 0;
  const directive = () => {
    const keyword = random.pick(Object.keys(KEYWORDS));
    return `${keyword}${random.pick([' ', '=', ' = ', '\t'])}${random.pick(random.chance(70) ? KEYWORDS[keyword] : VALUES)}`;
  };
  const line = () => scattered(random, directive());
  for (let count = 0; count < ROUNDS * COMPARISONS; count++) {
    const text = `${Array.from({ length: random.below(3) }, line).join('\n')}\n`;
    const args = Array.from({ length: random.below(3) }, () => (random.chance(50) ? ['-o', line()] : [random.pick(['-l', '-J', '-p', '-b']), scattered(random, random.pick(VALUES))])).flat();
    const host = random.chance(70) ? 'h' : scattered(random, random.pick(VALUES));
    if (agree({ text, args, host }, count)) taken += 1;
  }
  t.diagnostic(`${taken} taken by ssh`);
  assert.ok(taken > COMPARISONS / 10, `only ${taken} were taken`);
});
