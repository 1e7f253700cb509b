// --help: its first page fits a screen, and the whole has every flag of the parser.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { test } from '../helpers/bounded.mjs';
import { Cli } from '../helpers/cli.mjs';

const require = createRequire(import.meta.url);
const { FLAGS: OF_PARSER, VALUED } = require('../../lib/cli/arguments.js');
const { COMMANDS, DIRECTIVES, FLAGS, HELP, fullHelp } = require('../../lib/cli/help.js');
const { SUBCOMMANDS } = require('../../lib/cli/subcommands.js');
const { COMMAND } = require('../../lib/ssh-config/directives.js');

const page = readFileSync(new URL('../../docs/command.md', import.meta.url), 'utf8');
const written = (flag) => (flag.startsWith('--') ? flag : `-${flag}`);
/** Whether a text has a flag, and not only one that begins with it. */
const has = (text, flag) => new RegExp(`(?<![\\w-])${flag}(?![\\w-])`).test(text);

test('--help has at most 24 lines of 80 columns, and names the rest', async (t) => {
  const { status, stdout, stderr } = await Cli.start(t, ['--help']).end();
  assert.deepEqual([status, stdout, stderr], [0, HELP, '']);
  const lines = HELP.trimEnd().split('\n');
  assert.ok(lines.length <= 24, `${lines.length} lines`);
  for (const line of lines) assert.ok(line.length <= 80, line);
  for (const text of ['-L', '-D', '-R', '-W', 'Reconnect=yes', '--help all', 'man sshtunnel'])
    assert.ok(HELP.includes(text), text);
  for (const { names } of COMMANDS) assert.ok(has(HELP, names[0]), names[0]);
});

test('--help all has every flag and command in lines of 80 columns', async (t) => {
  const { status, stdout, stderr } = await Cli.start(t, ['--help', 'all']).end();
  assert.deepEqual([status, stdout, stderr], [0, fullHelp(), '']);
  for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line);
  for (const flag of OF_PARSER) assert.ok(has(stdout, written(flag)), flag);
  for (const name of Object.keys(COMMAND)) assert.ok(has(stdout, name), name);
  assert.deepEqual(DIRECTIVES.map(({ names }) => names[0]).sort(), Object.keys(COMMAND).sort());
});

test('docs/command.md has every flag and command', () => {
  for (const flag of OF_PARSER) assert.match(page, new RegExp(`[\`,] ?${written(flag)}(?![\\w-])`), flag);
  for (const { names, flags = [] } of COMMANDS) {
    assert.ok(page.includes(`sshtunnel ${names[0]}`), names[0]);
    for (const flag of flags) assert.ok(page.includes(`\`${flag.names[0]}`), flag.names[0]);
  }
});

test('the table of the help has the flags and commands that exist, with their values', () => {
  const entries = [...Object.values(FLAGS), COMMANDS.find(({ names }) => names[0] === 'run').flags].flat();
  for (const { names, value } of entries) {
    for (const name of names.map((each) => each.split(' ')[0])) {
      assert.ok(OF_PARSER.includes(name.replace(/^-(?!-)/, '').slice(0, name.startsWith('--') ? undefined : 1)), name);
      if (!name.startsWith('--')) assert.equal(value !== '', VALUED.includes(name[1]), name);
    }
  }
  const commands = COMMANDS.map(({ names }) => names[0]).filter((name) => name !== 'run');
  assert.deepEqual(commands.sort(), Object.keys(SUBCOMMANDS).sort());
});
