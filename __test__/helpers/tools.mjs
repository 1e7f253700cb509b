// Programs of Debian that some suites need, beside the servers: installed at once before the suites, which run side by
// side and would wait for each other's installation, or miss it.

import { ensurePackages, findProgram } from './ensure-sshd.mjs';

/** By the program, the packages that have it and what it needs. */
const TOOLS = {
  autossh: ['autossh'],
  chromium: ['chromium', 'fonts-dejavu-core'],
  curl: ['curl'],
  danted: ['dante-server', 'libnss-wrapper'],
  fish: ['fish'],
  man: ['man-db', 'groff-base'],
  mandoc: ['mandoc'],
  openssl: ['openssl'],
  prometheus: ['prometheus'],
  puttygen: ['putty-tools'],
  shellcheck: ['shellcheck'],
  squid: ['squid'],
  'systemd-analyze': ['systemd'],
  tinyproxy: ['tinyproxy'],
  tmux: ['tmux'],
  zsh: ['zsh'],
};

/** Installs what is missing, if that is possible; the suites say what they lack. */
export function ensureTools() {
  const missing = Object.keys(TOOLS).filter((name) => !findProgram(name));
  ensurePackages(
    missing,
    missing.flatMap((name) => TOOLS[name]),
  );
}
