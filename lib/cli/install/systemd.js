'use strict';

// A user unit of systemd.

const path = require('node:path');

/** Characters of names of units; a @ would make it a template. */
const PLAIN = /[\w:.-]/;

/** A name as systemd-escape(1) has it, except for dashes. */
function unitName(name) {
  const characters = Array.from(name, (character, index) =>
    PLAIN.test(character) && !(character === '.' && index === 0)
      ? character
      : [...Buffer.from(character)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join(''),
  );
  return `sshtunnel-${characters.join('')}.service`;
}

/** A text in which % has no meaning. */
const specified = (text) => text.replaceAll('%', '%%');

/**
 * A word of a command line.
 * @param {string} text
 * @param {{ isProgram?: boolean }} [options] isProgram: of the first word, in which $ has no meaning
 */
function word(text, { isProgram = false } = {}) {
  const given = specified(isProgram ? text : text.replaceAll('$', '$$$$'));
  if (/^[\w./:=@,+%-]+$/.test(given)) return given;
  const code = (character) => `\\u${character.codePointAt(0).toString(16).padStart(4, '0')}`;
  return `"${given.replace(/[\\"]/g, '\\$&').replace(/\p{Cc}/gu, code)}"`;
}

/**
 * @param {import('./index.js').Service} service
 * @returns {string} the unit
 */
function unit({ name, mark, command: [program, ...args], stopSeconds, notes }) {
  const line = [word(program, { isProgram: true }), ...args.map((arg) => word(arg))].join(' ');
  return `${[mark, ...notes].map((text) => `# ${text}\n`).join('')}
[Unit]
Description=SSH tunnel ${specified(name)}
Documentation=man:sshtunnel(1)
# Without a network at first, it is tried again without end.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=${line}
Restart=on-failure
RestartSec=10
# Connecting and authenticating may take 120 seconds.
TimeoutStartSec=150
WatchdogSec=30
TimeoutStopSec=${stopSeconds === Infinity ? 'infinity' : stopSeconds}

[Install]
WantedBy=default.target
`;
}

/**
 * How systemd has a service.
 * @param {{ home: string, variables: Record<string, string | undefined> }} user
 * @returns {import('./index.js').Manager}
 */
function systemd({ home, variables }) {
  const folder = path.join(variables.XDG_CONFIG_HOME || path.join(home, '.config'), 'systemd', 'user');
  const systemctl = (...args) => ['systemctl', '--user', ...args];
  return {
    fileOf: (name) => path.join(folder, unitName(name)),
    // What `systemctl enable` makes.
    linksOf: (name) => [path.join(folder, 'default.target.wants', unitName(name))],
    text: unit,
    start: (name) => [systemctl('daemon-reload'), systemctl('enable', '--now', unitName(name))],
    stop: (name) => [systemctl('disable', '--now', unitName(name))],
    forget: () => [systemctl('daemon-reload')],
    end: (name) => [systemctl('stop', unitName(name)), systemctl('daemon-reload')],
    advice: 'It runs while you are logged in; with `loginctl enable-linger`, always.',
  };
}

module.exports = { systemd, unitName, word };
