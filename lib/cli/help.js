'use strict';

const USAGE = `usage: sshtunnel [-46CgNnqTVv] [-b bind_address] [-c ciphers] [-D [bind_address:]port]
                 [-F configfile] [-i identity_file] [-J destination] [-L address] [-l login_name]
                 [-m macs] [-o option] [-P tag] [-p port] [-R address] [-W host:port]
                 [--json] [--no-view] destination`;

const HELP = `${USAGE}

Forwards ports through an SSH server, as ssh -N does, and says how every connection ended.

  -L [bind_address:]port:host:hostport   connections to this port go to the host, as the server sees it
  -D [bind_address:]port                 a SOCKS proxy: each connection says where it goes
  -R [bind_address:]port:host:hostport   the server listens, connections go to the host, as seen from here
  -W host:port                           standard input and output go to the host
     a socket's path may stand for bind_address:port, and for host:hostport

  -p port, -l login_name, -i file, -J jump,...   how to log on
  -F file                                read in place of ~/.ssh/config and /etc/ssh/ssh_config
  -o Option=value                        a line of ssh_config; and of our own:
       Linger=yes|no|time                how connections are closed: gracefully, by a reset, or gracefully
                                         for so long
       CloseTimeout=time                 how long connections may go on after the first signal
       Reconnect=yes|no                  whether a lost session is set up again
  -4, -6, -g, -C, -b, -c, -m, -P         as for ssh
  -q, -v, -vv, -vvv                      say less, or more

  --json       events on standard output, one object a line
  --no-view    no live view, although standard output is a terminal
  --help, -V, --version

A first SIGINT, SIGTERM or SIGHUP lets connections finish, a second one resets them. docs/command.md
says the rest.
`;

module.exports = { HELP, USAGE };
