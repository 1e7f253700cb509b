"""An SSH server made of asyncssh that forwards connections to TCP targets and from ports of its own.

Usage: asyncssh_server.py AUTHORIZED_KEYS HOST_KEY... It listens on two free ports of 127.0.0.1, prints
them, prints `newkeys` whenever keys were agreed on, and ends with its standard input. At the second port
it changes keys by itself, every MiB.
The user `user` logs on with an authorized key, with a certificate by an authorized authority, and with the
password `right`, which a question may ask for; the user `open` without any proof.
"""

import asyncio
import logging
import sys

import asyncssh

MIB = 1 << 20
PASSWORD = 'right'


class Server(asyncssh.SSHServer):
    def begin_auth(self, username):
        return username != 'open'

    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        return username == 'user' and password == PASSWORD

    def kbdint_auth_supported(self):
        return True

    def get_kbdint_challenge(self, username, lang, submethods):
        return '', '', '', [('Password: ', False)]

    def validate_kbdint_response(self, username, responses):
        return username == 'user' and responses == [PASSWORD]

    def connection_requested(self, dest_host, dest_port, orig_host, orig_port):
        return True

    def server_requested(self, listen_host, listen_port):
        return True


class KeyExchanges(logging.Handler):
    """Tells of each exchange that is over."""

    def emit(self, record):
        if 'Completed key exchange' in record.getMessage():
            print('newkeys', flush=True)


async def main():
    authorized, *host_keys = sys.argv[1:]
    logging.getLogger('asyncssh').addHandler(KeyExchanges())
    logging.getLogger('asyncssh').propagate = False
    asyncssh.set_log_level('DEBUG')
    options = {
        'server_factory': Server,
        'server_host_keys': host_keys,
        'authorized_client_keys': authorized,
        'compression_algs': ['none', 'zlib@openssh.com'],
        'x509_trusted_certs': None,
    }
    ports = []
    for more in ({}, {'rekey_bytes': MIB}):
        listener = await asyncssh.listen('127.0.0.1', 0, **options, **more)
        ports.append(listener.sockets[0].getsockname()[1])
    print(*ports, flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
