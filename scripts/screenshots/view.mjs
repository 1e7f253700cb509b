// The live view of the command as a picture: what tmux says that a terminal of 80 columns shows, in the font and the colors of
// a terminal.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { ensurePackages, ensureSshd } from '../../__test__/helpers/ensure-sshd.mjs';
import { temporaryFolder } from '../../__test__/helpers/keys.mjs';
import { ROOT } from '../setup.mjs';
import { picture } from './chromium.mjs';

/** The terminal, and the keys that are pressed before the picture is taken. */
const COLUMNS = 80;
const ROWS = 24;
const KEYS = ['Down', 'Down'];

/** The hosts of the scene: each has an address of its own of the loopback device. */
const HOSTS = {
  bastion: '127.0.0.10',
  'db.internal': '127.0.0.11',
  'cache.internal': '127.0.0.12',
  'wiki.internal': '127.0.0.13',
};

/** Terminals: the background, the text, and the colors 1 to 6 of the sixteen. */
export const THEMES = {
  dark: {
    back: '#0d1117',
    text: '#c9d1d9',
    frame: '#30363d',
    colors: ['#ff7b72', '#3fb950', '#d29922', '#58a6ff', '#bc8cff', '#39c5cf'],
  },
  light: {
    back: '#ffffff',
    text: '#24292f',
    frame: '#d0d7de',
    colors: ['#cf222e', '#1a7f37', '#9a6700', '#0969da', '#8250df', '#1b7c83'],
  },
};

const FONT = 14;
const LINE = 19;
const PADDING = 16;
/** The width of a character of DejaVu Sans Mono, as a share of its size. */
const ADVANCE = 0.602;

/** @param {string} folder */
export async function shoot(folder) {
  const lines = scene(COLUMNS, ROWS, KEYS);
  for (const [name, theme] of Object.entries(THEMES)) draw(lines, COLUMNS, theme, join(folder, `view-${name}.png`));
}

/** Draws a terminal that shows these lines. */
export function draw(lines, columns, theme, file) {
  const width = Math.ceil(columns * FONT * ADVANCE) + 2 * PADDING + 2;
  const height = lines.length * LINE + 2 * PADDING + 2;
  picture(htmlOf(lines, theme), file, { width, height });
}

/** What the terminal shows, with escape sequences: from scene.mjs, in a network of its own where hosts and users have names. */
export function scene(columns, rows, keys) {
  const packages = ['tmux', 'util-linux'];
  if (!ensureSshd() || !ensurePackages(['tmux', 'unshare'], packages)) throw new Error('there is no tmux');
  const files = temporaryFolder('scene');
  try {
    const hosts = Object.entries({ localhost: '127.0.0.1', ...HOSTS }).map(([name, address]) => `${address} ${name}\n`);
    const mine = [
      ['/etc/hosts', files.write(hosts.join(''))],
      ['/etc/passwd', files.write(`${readFileSync('/etc/passwd', 'utf8')}me:x:0:0::/root:/bin/sh\n`)],
    ];
    const mounts = mine.map(([path, file]) => `chmod 644 ${file} && mount --bind ${file} ${path}`);
    const commands = [...mounts, 'ip link set lo up', 'exec "$0" "$@"'].join(' && ');
    const script = join(ROOT, 'scripts', 'screenshots', 'scene.mjs');
    const args = ['--mount', '--net', '--propagation', 'private', 'sh', '-c', commands, process.execPath, script];
    args.push(String(columns), String(rows), ...keys);
    const { status, stdout } = spawnSync('unshare', args, {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (status !== 0) throw new Error(`the scene ended with ${status}`);
    return stdout.split('\n').slice(0, rows);
  } finally {
    files.remove();
  }
}

const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
const escaped = (text) => text.replace(/[&<>]/g, (character) => ESCAPES[character]);

/** What a sequence SGR makes of the style before it. */
function styled(style, codes, { text, back, colors }) {
  let next = { ...style };
  for (const code of codes.map(Number)) {
    if (code === 0) next = {};
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 7) next.inverse = true;
    else if (code === 22) Object.assign(next, { bold: false, dim: false });
    else if (code === 27) next.inverse = false;
    else if (code >= 31 && code <= 36) next.color = colors[code - 31];
    else if (code === 39) next.color = undefined;
    else if (code === 49) next.background = undefined;
    // 49 is the background that there is.
    else if (code !== 49) throw new Error(`SGR ${code} is not known`);
  }
  const rules = [`color:${next.inverse ? back : (next.color ?? text)}`];
  if (next.inverse) rules.push(`background:${next.color ?? text}`);
  if (next.bold) rules.push('font-weight:bold');
  if (next.dim) rules.push('opacity:.6');
  return { next, css: rules.join(';') };
}

/** A page that shows lines with escape sequences. */
function htmlOf(lines, theme) {
  let style = {};
  const rows = lines.map((line) => {
    let css = styled(style, [], theme).css;
    const parts = line.split(/\x1b\[([\d;]*)m/).map((part, at) => {
      if (at % 2 === 0) return part === '' ? '' : `<span style="${css}">${escaped(part)}</span>`;
      const { next, css: changed } = styled(style, part === '' ? ['0'] : part.split(';'), theme);
      style = next;
      css = changed;
      return '';
    });
    return `<div>${parts.join('')}</div>`;
  });
  const { back, frame } = theme;
  return `<!doctype html><meta charset="utf-8"><style>
    * { margin: 0; box-sizing: border-box; }
    main { background: ${back}; border: 1px solid ${frame}; border-radius: 8px; padding: ${PADDING}px; width: 100vw; height: 100vh;
      font: ${FONT}px/${LINE}px 'DejaVu Sans Mono'; white-space: pre; overflow: hidden; }
    div { height: ${LINE}px; }
    span { display: inline-block; height: ${LINE}px; vertical-align: top; }
  </style><main>${rows.join('')}</main>`;
}
