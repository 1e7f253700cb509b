// What is known of OpenSSH's regress scripts: which have nothing to do with a client or with a tunnel, and which of their
// checks ask for what a tunnel does not have by design. Every other script and check has to pass.

/** Scripts that are not run: the reason, and their names. */
export const SCRIPTS_NOT_RUN = {
  'starts no ssh: the server and its configuration': [
    'addrmatch',
    'cfgparse',
    'proto-mismatch',
    'proto-version',
    'servcfginclude',
  ],
  'starts no ssh: ssh-keygen': [
    'keygen-change',
    'keygen-comment',
    'keygen-convert',
    'keygen-knownhosts',
    'krl',
    'sshsig',
    'ssh-com-keygen',
  ],
  'starts no ssh but for a list of names (-Q): ssh-keygen': ['keygen-moduli', 'keygen-sshfp'],
  'starts no ssh: ssh-agent, ssh-keyscan': [
    'agent-getpeereid',
    'agent-ptrace',
    'agent-subprocess',
    'agent-timeout',
    'keyscan',
  ],
  'starts no ssh: scp and sftp without a network': [
    'scp',
    'scp-uri',
    'sftp',
    'sftp-badcmds',
    'sftp-batch',
    'sftp-cmds',
    'sftp-glob',
    'sftp-perm',
  ],
  'another client: PuTTY, Twisted Conch': ['conch-ciphers', 'putty-ciphers', 'putty-kex', 'putty-transfer'],
  'another client or server, which nobody has any more: ssh.com': ['ssh-com', 'ssh-com-client', 'ssh-com-sftp'],
  'part of the other scripts': ['scp-ssh-wrapper', 'ssh2putty', 'sshd-log-wrapper', 'test-exec', 'valgrind-unit'],
  'about a session, which a tunnel does not have: its environment': ['authinfo', 'envpass'],
  'about a session, which a tunnel does not have: its exit status': ['exit-status'],
  'about a session, which a tunnel does not have: forced commands': ['forcecommand'],
  'about a session, which a tunnel does not have: its time limit': ['channel-timeout'],
  'about a session, which a tunnel does not have: subsystems': ['sftp-chroot', 'sftp-uri'],
  'each check reads the output of a forced command in a session with a forwarded agent': ['agent-restrict'],
  'several sessions share a connection': ['multiplex'],
  'scp clears all forwards, and the remote command needs one': ['scp3'],
  'authentication by the host key of the client (hostbased), which is not supported': ['hostbased'],
  'host keys in the DNS (VerifyHostKeyDNS), which are not supported; it needs a domain of its own': ['sshfp-connect'],
  'a measurement without a check': ['cipher-speed'],
};

const ENVIRONMENT = 'the environment of a session';
const FORCED_COMMAND = 'forced commands, which run in a session';
const NO_EFFECT = 'directives without effect for a tunnel, which -G does not print';
const SHA1 = 'signatures with SHA-1 (ssh-rsa)';

/**
 * Checks that a tunnel fails by design: `trace` matches the line before the check, `fail` its message; `why` says what
 * the check is about.
 */
const BY_DESIGN = {
  agent: [{ trace: /^agent forwarding/, why: 'a forwarded agent' }],
  'connection-timeout': [{ fail: /^missing result file$/, why: 'a second session over the connection' }],
  'cert-userkey': [
    { trace: /authorized_principals command=(false|true)$/, why: FORCED_COMMAND },
    { trace: /: force-command .* expect failure/, why: FORCED_COMMAND },
    { trace: /: rsa (correct|authorized_keys|TrustedUserCAKeys) /, fail: /connect failed$/, why: SHA1 },
  ],
  'cert-hostkey': [
    {
      fail: / (empty principals|cert valid interval) failed unexpectedly$/,
      why: 'host certificates that name no host, which are refused (trust.md)',
    },
  ],
  'hostkey-agent': [
    { fail: /^bad SSH_CONNECTION/, why: ENVIRONMENT },
    { fail: /type ssh-rsa(-cert-v01@openssh\.com)? failed$/, why: SHA1 },
    { fail: /type (ssh-dss|sk)-.* failed$/, why: 'DSA and security keys of the server' },
  ],
  'key-options': [
    { fail: /^key option forced command/, why: FORCED_COMMAND },
    { trace: /^key option pty/, why: 'terminals' },
    { fail: /^key option environment/, why: ENVIRONMENT },
  ],
  percent: [{ fail: /^(remotecommand|forwardagent)=/, why: NO_EFFECT }],
  'principals-command': [{ trace: /command=(false|true)$/, why: FORCED_COMMAND }],
  'proxy-connect': [{ fail: /^bad SSH_CONNECTION/, why: ENVIRONMENT }],
  sshcfgparse: [{ trace: /^(agentforwarding|command line override)$/, why: NO_EFFECT }],
};

/** Checks that fail and should not: the cause. */
const KNOWN = {
  'cert-hostkey': [{ trace: /empty KRL expect success yes$/, why: 'key revocation lists (KRL) refuse every host' }],
  dhgex: [
    {
      trace: /3des-cbc$|^expected '3072' got ''$/,
      why: "it begins with the cipher 3des-cbc, which is not supported, and reads ssh's debug messages",
    },
  ],
  'hostkey-rotate': [
    {
      trace: /^check rotate primary hostkey$/,
      fail: /^learn hostkeys/,
      why: 'ssh also removes known keys of the types that HostKeyAlgorithms leaves out; UpdateHostKeys keeps them here',
    },
  ],
  integrity: [
    {
      fail: /^unexpected error mac .*: the length of a packet|: expected \d+ mac errors/,
      why: "it reads the first words of the message for a damaged length, which for ssh are 'Bad packet length'",
    },
  ],
  rekey: [
    {
      fail: /^no rekeying occurred/,
      why: "it counts the debug message 'NEWKEYS sent': the library does not tell when keys were exchanged",
    },
  ],
  sshcfgparse: [
    { trace: /^ssh -W opts$/, why: '-G does not show what -W implies' },
    { trace: /^user first match$/, why: 'with -G, the words of a remote command are refused' },
  ],
};

const reasons = new Map(Object.entries(SCRIPTS_NOT_RUN).flatMap(([why, names]) => names.map((name) => [name, why])));

const matches = ({ trace = /^/, fail: message = /^/ }, { context, fail }) => trace.test(context) && message.test(fail);

/** Why a script is not run; undefined if it is. */
export const whyNot = (name) => reasons.get(name);

/** Why a check of a script fails by design; undefined if it has to pass. */
export const byDesign = (name, failure) => BY_DESIGN[name]?.find((rule) => matches(rule, failure))?.why;

/** The cause of a failure, if it is known. */
export const known = (name, failure) => KNOWN[name]?.find((rule) => matches(rule, failure))?.why;

/** What is expected to fail and does not. */
export function unmet(name, failures) {
  const rules = [...(BY_DESIGN[name] ?? []), ...(KNOWN[name] ?? [])];
  return rules.filter((rule) => !failures.some((failure) => matches(rule, failure))).map(({ why }) => why);
}

/** Scripts that use the same ports whatever they are told: one at a time. */
export const EXCLUSIVE = ['forward-control', 'cfgmatchlisten', 'cfgmatch', 'forwarding'];

/** Scripts that take long, which begin first. */
export const SLOW = ['forward-control', 'cert-userkey', 'integrity', 'rekey', 'cert-hostkey', 'percent'];

/** Scripts whose servers forbid local forwards, by which remote commands travel otherwise. */
export const REMOTE_ROUTE = ['cfgmatch', 'forward-control'];
