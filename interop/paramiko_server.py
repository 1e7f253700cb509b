"""An SSH server made of paramiko that forwards connections to TCP targets and from ports of its own.

Usage and users are those of asyncssh_server.py; paramiko has no certificates of hosts, and none of users in a server.
"""

import socket
import sys
import threading

import paramiko
from paramiko.common import (
    AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_FAILED_CONNECT_FAILED, OPEN_SUCCEEDED,
)

MIB = 1 << 20
PASSWORD = 'right'
KEYS = {
    'ssh-ed25519': paramiko.Ed25519Key,
    'ssh-rsa': paramiko.RSAKey,
    'ecdsa-sha2-nistp256': paramiko.ECDSAKey,
    'ecdsa-sha2-nistp384': paramiko.ECDSAKey,
    'ecdsa-sha2-nistp521': paramiko.ECDSAKey,
}


def copy(read, write, finish):
    """Passes on everything in one direction, then its end."""
    try:
        while data := read(65536):
            write(data)
        finish()
    except (OSError, EOFError):
        pass


def join(channel, sock):
    """Joins a channel and a socket; each direction ends by itself, and the channel after both."""
    up = (channel.recv, sock.sendall, lambda: sock.shutdown(socket.SHUT_WR))
    threads = [threading.Thread(target=copy, args=up, daemon=True)]
    threads[0].start()
    copy(sock.recv, channel.sendall, channel.shutdown_write)
    threads[0].join()
    channel.close()
    sock.close()


class Server(paramiko.ServerInterface):
    def __init__(self, transport, authorized):
        self.transport = transport
        self.authorized = authorized
        self.targets = {}
        self.listeners = {}

    def get_allowed_auths(self, username):
        return 'publickey,password,keyboard-interactive'

    def check_auth_none(self, username):
        return AUTH_SUCCESSFUL if username == 'open' else AUTH_FAILED

    def check_auth_password(self, username, password):
        return AUTH_SUCCESSFUL if (username, password) == ('user', PASSWORD) else AUTH_FAILED

    def check_auth_publickey(self, username, key):
        return AUTH_SUCCESSFUL if username == 'user' and key.get_base64() in self.authorized else AUTH_FAILED

    def check_auth_interactive(self, username, submethods):
        return paramiko.InteractiveQuery('', '', ('Password: ', False)) if username == 'user' else AUTH_FAILED

    def check_auth_interactive_response(self, responses):
        return AUTH_SUCCESSFUL if list(responses) == [PASSWORD] else AUTH_FAILED

    def check_channel_direct_tcpip_request(self, chanid, origin, destination):
        try:
            self.targets[chanid] = socket.create_connection(destination)
        except OSError:
            return OPEN_FAILED_CONNECT_FAILED
        return OPEN_SUCCEEDED

    def check_port_forward_request(self, address, port):
        listener = socket.create_server((address, port))
        port = listener.getsockname()[1]
        self.listeners[port] = listener
        threading.Thread(target=self.forward, args=(listener, address, port), daemon=True).start()
        return port

    def cancel_port_forward_request(self, address, port):
        # close() alone leaves it listening while a thread is in accept().
        listener = self.listeners.pop(port)
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()

    def forward(self, listener, address, port):
        while True:
            try:
                sock, origin = listener.accept()
            except OSError:
                return
            channel = self.transport.open_forwarded_tcpip_channel(origin, (address, port))
            threading.Thread(target=join, args=(channel, sock), daemon=True).start()


class Transport(paramiko.Transport):
    """Tells of each exchange that is over."""

    def _activate_inbound(self):
        super()._activate_inbound()
        print('newkeys', flush=True)


def serve(sock, rekey_bytes, host_keys, authorized):
    transport = Transport(sock)
    transport.use_compression(True)
    transport._preferred_compression = ('none', 'zlib@openssh.com')
    if rekey_bytes:
        transport.packetizer.REKEY_BYTES = rekey_bytes
    for key in host_keys:
        transport.add_server_key(key)
    server = Server(transport, authorized)
    try:
        transport.start_server(server=server)
        while transport.is_active():
            channel = transport.accept(1)
            if channel is not None:
                args = (channel, server.targets.pop(channel.get_id()))
                threading.Thread(target=join, args=args, daemon=True).start()
    except (paramiko.SSHException, EOFError, OSError):
        pass  # the client is gone


def listen(rekey_bytes, *means):
    """Listens on a free port, serves in threads, and gives the port."""
    listener = socket.create_server(('127.0.0.1', 0))

    def accept():
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(sock, rekey_bytes, *means), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def main():
    paramiko.Transport.load_server_moduli()
    authorized, *files = sys.argv[1:]
    with open(authorized, encoding='utf8') as lines:
        known = {words[1] for words in map(str.split, lines) if words[0] in KEYS}
    host_keys = []
    for file in files:
        with open(f'{file}.pub', encoding='utf8') as line:
            host_keys.append(KEYS[line.read().split()[0]].from_private_key_file(file))
    print(*(listen(limit, host_keys, known) for limit in (None, MIB)), flush=True)
    sys.stdin.read()


main()
