'use strict';

// The help, and the table of flags and commands that it, the completion and a test of the documents share.

/** Columns of the help, and of the names in front of the texts. */
const WIDTH = 80;
const NAMES = 30;

/**
 * A flag, a command or a directive.
 * @typedef {object} Entry
 * @property {string[]} names
 * @property {string} value what follows, empty if nothing does
 * @property {string} text
 * @property {string} [completes] what completes the value, and the arguments of a command: a function of
 *   completion/values.js
 * @property {Entry[]} [flags] of a command
 */

/** @returns {Entry} */
const entry = (names, value, text, completes, flags) => ({ names: names.split(', '), value, text, completes, flags });

/** The flags of the command that forwards. @type {Record<string, Entry[]>} */
const FLAGS = {
  'What is forwarded': [
    entry('-L', '[address:]port:host:hostport', 'a local port leads to the host, which the server resolves'),
    entry('-D', '[address:]port', 'a local SOCKS proxy: each client names its target'),
    entry('-R', '[address:]port:host:hostport', 'a port of the server leads to the host, which is resolved here'),
    entry('-R', '[address:]port', 'a SOCKS proxy at the server, whose targets are connected to from here'),
    entry('-W', 'host:port', 'standard input and output lead to the host'),
    entry('-g', '', 'other machines may use the local ports, too'),
  ],
  'How to connect': [
    entry('-p', 'port', 'the port of the server'),
    entry('-l', 'user', 'the user at the server'),
    entry('-i', 'file', 'a private key, or the public key of one in the agent', 'files'),
    entry('-J', 'host,...', 'connects through these hosts', 'hosts'),
    entry('-F', 'file', 'is read in place of ~/.ssh/config and /etc/ssh/ssh_config', 'files'),
    entry('-o', 'Option=value', 'a line of ssh_config, or one of the directives below', 'directives'),
    entry('-4, -6', '', 'addresses of one family only'),
    entry('-b', 'address', 'connects from this address'),
    entry('-C', '', 'compresses'),
    entry('-c', 'cipher,...', 'the ciphers', 'ciphers'),
    entry('-m', 'mac,...', 'the MACs', 'macs'),
    entry('-P', 'tag', 'the tag for Match tagged'),
  ],
  'How it runs': [
    entry('-f', '', 'goes to the background when everything listens'),
    entry('-M', '', 'listens on the control socket of -S'),
    entry('-S', 'path', 'the path of the control socket', 'files'),
    entry('-O', 'request', 'asks the command at the control socket: check, exit, stop, forward, cancel', 'requests'),
    entry('--health', '[host:]port', 'answers health checks by HTTP, on this machine without a host'),
    entry('--metrics', '[host:]port', 'serves metrics for Prometheus, likewise'),
    entry('-G', '', 'prints the settings for the destination, and ends'),
    entry('-Q', 'name', 'prints algorithms, such as cipher, mac, kex, key; help lists the names', 'queries'),
  ],
  'What it prints': [
    entry('-q', '', 'nothing'),
    entry('-v, -vv, -vvv', '', 'more'),
    entry('-E', 'file', 'messages are appended to the file', 'files'),
    entry('--json', '', 'events on standard output, a JSON object on each line'),
    entry('--log-format', 'text|json', 'how messages are written', 'logFormats'),
    entry('--no-view', '', 'no live view, even if standard output is a terminal'),
    entry('--web', '[address:]port', 'serves a page with the live view, on this machine; prints its address'),
    entry('--help, --help all', '', 'the commonest flags; all of them'),
    entry('-V, --version', '', 'the version'),
  ],
};

/** The command's own directives. */
const DIRECTIVES = [
  entry('Linger', 'yes|no|time', 'how connections are closed: gracefully, by a reset, or gracefully for this time'),
  entry('CloseTimeout', 'time', 'how long connections may continue after the first signal'),
  entry('Reconnect', 'yes|no', 'whether a disconnected session is restored'),
];

/** How a tunnel in the background is closed. */
const CLOSING = [
  entry('--force', '', 'resets connections'),
  entry('--timeout', 'time', 'resets connections after this time'),
];

/** The first words that make it another command. */
const COMMANDS = [
  entry('run', '[flags] host -- command', 'runs a program whose URLs lead through the tunnel', 'hosts', [
    entry('--env', 'NAME[=host:port]', 'the URL in the environment variable, or a host, too', 'variables'),
    entry('--no-urls', '', 'leaves the arguments of the program as they are'),
    entry('--quiet-unless-failed', '', 'shows the output of the program only if it fails'),
  ]),
  entry(
    'up',
    '[flags] [NAME ...]',
    'brings up tunnels in the background; without a name, what was up before',
    'profiles',
  ),
  entry('down', '--all | NAME ...', 'closes tunnels in the background', 'profiles', [
    entry('--all', '', 'all of them'),
    ...CLOSING,
  ]),
  entry('restart', 'NAME ...', 'closes tunnels in the background, and brings them up again', 'profiles', CLOSING),
  entry('ls', '', 'lists tunnels in the background, and hosts that could be one', undefined, [
    entry('--json', '', 'as JSON'),
    entry('-F', 'file', 'the ssh_config file', 'files'),
  ]),
  entry('status', 'NAME', 'shows a tunnel in the background; the status is 0 if it is up', 'profiles', [
    entry('--json', '', 'as JSON'),
    entry('-F', 'file', 'the ssh_config file', 'files'),
  ]),
  entry('logs', 'NAME', 'prints the log of a tunnel in the background', 'profiles', [
    entry('-f', '', 'follows it'),
    entry('-n', 'lines', 'only the last lines'),
    entry('-v', '', 'connections, too'),
    entry('--json', '', 'the lines as they are'),
  ]),
  entry('supervise', '', 'runs the supervisor of the tunnels in the foreground'),
  entry('service', 'install|uninstall NAME', 'makes a service of a host of ssh_config that has forwards', 'services', [
    entry('--print', '', 'prints the file of the service, and writes nothing'),
    entry('--yes', '', 'does not ask'),
    entry('--now', '', 'starts the service, or stops it, too'),
    entry('-F', 'file', 'the ssh_config file', 'files'),
  ]),
  entry('completion', 'bash|zsh|fish', 'prints the completion for a shell', 'shells'),
];

/** Lines of at most `width` columns. */
function wrapped(text, width) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line !== '' && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines;
}

/** An entry as lines: the names, and beside or below them the text. */
function shown({ names, value, text }, indent = 2) {
  const head = `${' '.repeat(indent)}${names.join(', ')}${value && ` ${value}`}`;
  const blank = ' '.repeat(NAMES);
  const lines = wrapped(text, WIDTH - NAMES).map((line) => blank + line);
  if (head.length <= NAMES - 2) return [head.padEnd(NAMES) + lines[0].trimStart(), ...lines.slice(1)];
  return [head, ...lines];
}

const USAGE = `usage: sshtunnel [flags] [user@]host
       sshtunnel run [flags] [user@]host -- command [argument ...]`;

const PURPOSE = `Forwards ports through an SSH server, with the flags of ssh -N, and says how
each connection ended.`;

/** The first screen. */
const HELP = `${USAGE}

${PURPOSE}

  -L [address:]port:host:hostport   a local port leads to the host
  -R [address:]port:host:hostport   a port of the server leads to a host here
  -D [address:]port                 a local SOCKS proxy
  -W host:port                      standard input and output lead to the host
  -J host,...                       connects through these hosts
  -i file, -l user, -p port         key, user, port
  -o Option=value                   a line of ssh_config, or Reconnect=yes,
                                    Linger=yes|no|time, CloseTimeout=time
  -f                                goes to the background
  -q, -v, --json                    prints nothing; more; JSON lines

${wrapped(`Commands: ${COMMANDS.flatMap(({ names }) => names).join(', ')}`, WIDTH).join('\n')}

Ctrl-C lets connections finish; once more resets them.
All flags and commands: sshtunnel --help all. The manual: man sshtunnel
`;

/** Everything, in sections. */
function fullHelp() {
  const section = (title, entries) => ['', `${title}:`, ...entries.flatMap((each) => shown(each))];
  return [
    USAGE,
    '',
    PURPOSE,
    ...Object.entries(FLAGS).flatMap(([title, entries]) => section(title, entries)),
    '',
    'The path of a Unix socket may stand for [address:]port and for host:hostport.',
    ...section('Directives for -o, beside those of ssh_config', DIRECTIVES),
    '',
    'Commands:',
    ...COMMANDS.flatMap((command) => [...shown(command), ...(command.flags ?? []).flatMap((each) => shown(each, 4))]),
    '',
    ...wrapped(
      'Without effect: -A, -a, -e, -K, -k, -N, -n, -T, -t, -X, -x, -Y. Refused: -B, -I, -s, -w, -y, and a remote command. ' +
        'A first SIGINT, SIGTERM or SIGHUP lets connections finish, a second one resets them. ' +
        'The manual: man sshtunnel, or docs/command.md of the package.',
      WIDTH,
    ),
    '',
  ].join('\n');
}

module.exports = { COMMANDS, DIRECTIVES, FLAGS, HELP, USAGE, fullHelp };
