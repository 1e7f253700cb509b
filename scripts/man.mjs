// `npm run man`: writes the manual page man/sshtunnel.1 from docs/command.md and the help. With `--check` it writes nothing
// and fails if the page is old; its date does not count.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { Marked } from 'marked';
import markedMan from 'marked-man';

import { ROOT } from './setup.mjs';

const require = createRequire(import.meta.url);
const { COMMANDS, USAGE } = require('../lib/cli/help.js');
const { version } = require('../package.json');

const SOURCE = join(ROOT, 'docs', 'command.md');
export const PAGE = join(ROOT, 'man', 'sshtunnel.1');

/** Characters between the cells and the rows of a table while it is converted. */
const CELL = '\u0001';
const ROW = '\u0002';

/** Sections that the document has no text for. */
const SEE_ALSO = `ssh(1), ssh_config(5), sshd_config(5)

The folder docs of the package sshtunnel-native has the documents that are named here.`;
const FILES = [
  ['~/.ssh/config, /etc/ssh/ssh_config', 'are read as by ssh'],
  ['~/.ssh/known_hosts', 'the host keys that are known; accepted ones are added'],
  ['~/.cache/sshtunnel-native', 'compiled code, see START'],
];

/** Tables as lists: a name, and its text below. A second column of three stands before the text, with its title. */
const tables = {
  tablecell: (content) => content + CELL,
  tablerow: (content) => content + ROW,
  table(header, body) {
    const [, title = ''] = header.split(CELL);
    const rows = body.split(ROW).slice(0, -1);
    const items = rows.map((row) => {
      const cells = row.split(CELL).slice(0, -1);
      const [name, ...texts] = cells;
      const text = cells.length === 3 ? [`${title}: ${texts[0]}.`, texts[1]].join('\n.br\n') : texts.join(' ');
      return `.TP\n${name}\n${text.trim() || 'see above'}\n`;
    });
    return items.join('');
  },
};

/** The document as that of a manual page: its title is the name of the page, and links are words. */
function source() {
  const [, text] = /^# [^\n]*\n\n([^]*)$/.exec(readFileSync(SOURCE, 'utf8'));
  const titles = new Map(
    [...text.matchAll(/^##+ (.*)$/gm)].map(([, title]) => [title.toLowerCase().replaceAll(' ', '-'), title]),
  );
  const link = (_, words, target) => {
    const [file, anchor] = target.split('#');
    if (file === '') return words === 'below' ? `${titles.get(anchor).toUpperCase()} below` : words;
    const name = file.startsWith('..') ? file.slice(3) : `docs/${file}`;
    return words === file || words.endsWith('.md') || words === name ? `*${name}*` : `${words} (*${name}*)`;
  };
  const linked = text.replace(/^<picture>[^]*?<\/picture>\n\n/gm, '').replace(/\[([^\]]+)\]\(([^)]+)\)/g, link);
  const [intro, ...sections] = linked.split(/^(?=## )/m);
  const upper = sections.map((section) => section.replace(/^## (.*)$/m, (_, title) => `## ${title.toUpperCase()}`));
  const usage = USAGE.replace(/^usage: /, '').split('\n');
  // The usage has `run`.
  const others = COMMANDS.filter(({ names }) => names[0] !== 'run');
  const commands = others.map(({ names, value }) => `sshtunnel ${names[0]} ${value}`.trim());
  const synopsis = [...usage, ...commands].map((line) => `    ${line.trim()}`);
  const files = FILES.map(([name, words]) => `| \`${name}\` | ${words} |`).join('\n');
  return [
    '# sshtunnel(1) -- forward ports through an SSH server',
    `## SYNOPSIS\n\n${synopsis.join('\n')}`,
    `## DESCRIPTION\n\n${intro.trim()}`,
    ...upper.map((section) => section.trim()),
    `## FILES\n\n| file | |\n|---|---|\n${files}`,
    `## SEE ALSO\n\n${SEE_ALSO}\n`,
  ].join('\n\n');
}

/** The page. @param {string} date of its last change, as 2026-11-30 */
export function manual(date) {
  const marked = new Marked(markedMan, { breaks: false, renderer: tables });
  const page = marked
    .parse(source())
    // A heading begins a paragraph anyway; code behind a text does not.
    .replace(/^(\.S[HS] .*\n)\.P\n/gm, '$1')
    .replace(/^((?!\.S[HS]).+\n)(\.RS 2\n\.nf)$/gm, '$1.sp\n$2');
  const head = `.TH "SSHTUNNEL" "1" "${date}" "sshtunnel ${version}" "User Commands"`;
  return `${page.replace(/^\.TH .*$/m, head).trim()}\n`;
}

/** The page that is there; undefined if there is none, or the document has changed since. */
export function current() {
  let page;
  try {
    page = readFileSync(PAGE, 'utf8');
  } catch {
    return undefined;
  }
  const [, date] = /^\.TH "SSHTUNNEL" "1" "([^"]*)"/m.exec(page) ?? [];
  return page === manual(date) ? page : undefined;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const isCurrent = current() !== undefined;
  if (process.argv.includes('--check')) {
    if (!isCurrent) console.log('man/sshtunnel.1 is old: npm run man');
    process.exitCode = isCurrent ? 0 : 1;
  } else if (!isCurrent) {
    mkdirSync(join(ROOT, 'man'), { recursive: true });
    writeFileSync(PAGE, manual(new Date().toISOString().slice(0, 10)));
    console.log('man/sshtunnel.1 is written');
  }
}
