'use strict';

const USAGE = `usage: sshtunnel [-46CfGgMNnqTVv] [-b bind_address] [-c ciphers] [-D [bind_address:]port]
                 [-E log_file] [-F configfile] [-i identity_file] [-J destination] [-L address] [-l login_name]
                 [-m macs] [-O ctl_cmd] [-o option] [-P tag] [-p port] [-Q query] [-R address]
                 [-S ctl_path] [-W host:port]
                 [--json] [--no-view] destination
       sshtunnel run [flags] [--env NAME[=host:port]] [--no-urls] [--quiet-unless-failed]
                 destination -- command [argument ...]`;

const HELP = `${USAGE}

Forwards ports through an SSH server, as ssh -N does, and reports how each connection ended.

  -L [bind_address:]port:host:hostport   connections to this port go to the host, as the server sees it
  -D [bind_address:]port                 a SOCKS proxy: each connection chooses its target
  -R [bind_address:]port:host:hostport   the server listens, connections go to the host, as seen from here
  -R [bind_address:]port                 the same as a SOCKS proxy: each connection chooses its target
  -W host:port                           standard input and output go to the host
     the path of a Unix socket may stand for bind_address:port, and for host:hostport

  -p port, -l login_name, -i file, -J jump,...   how to connect
  -F file                                read in place of ~/.ssh/config and /etc/ssh/ssh_config
  -o Option=value                        a line of ssh_config, or one of these:
       Linger=yes|no|time                how connections are closed: gracefully, by a reset, or gracefully
                                         within this time
       CloseTimeout=time                 how long connections may go on after the first signal
       Reconnect=yes|no                  whether to reconnect after the session is lost
  -4, -6, -g, -C, -b, -c, -m, -P         as for ssh
  -f                                     goes to the background when everything listens
  -M -S path                             listens on a control socket of this path, for -O
  -S path -O check|exit|stop|forward|cancel
                                         asks the command that has this control socket
  -G                                     prints the settings for the destination, as ssh -G
  -Q cipher|mac|kex|key|...              prints what is supported, as ssh -Q
  -E file                                appends messages to the file
  -q, -v, -vv, -vvv                      fewer messages, or more

  run          runs a command here, whose URLs lead through the tunnel, and ends with its status
       --env NAME              the URL in this environment variable, too
       --env NAME=host:port    sets the variable to the local address of a forward to the host
       --no-urls               leaves the arguments as they are
       --quiet-unless-failed   shows the output of the command only if it fails

  --json       events on standard output, one object a line
  --no-view    no live view, although standard output is a terminal
  --help, -V, --version

A first SIGINT, SIGTERM or SIGHUP lets connections finish, a second one resets them. See docs/command.md.
`;

module.exports = { HELP, USAGE };
