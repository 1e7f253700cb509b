"""An SSH server made of Twisted Conch that forwards connections by Conch's own means.

Usage and users are those of asyncssh_server.py; Conch has no certificates.
"""

import struct
import sys

from twisted.conch import avatar, interfaces
from twisted.conch.checkers import InMemorySSHKeyDB, SSHPublicKeyChecker
from twisted.conch.ssh import connection, factory, forwarding, keys, transport, userauth
from twisted.cred import checkers, credentials, portal
from twisted.internet import reactor, stdio
from twisted.internet.protocol import Protocol
from zope.interface import implementer

MIB = 1 << 20


class User(avatar.ConchUser):
    """What somebody may do who has logged on."""

    def __init__(self):
        super().__init__()
        self.channelLookup[b'direct-tcpip'] = forwarding.openConnectForwardingClient
        self.listeners = {}

    def global_tcpip_forward(self, data):
        host, asked = forwarding.unpackGlobal_tcpip_forward(data)
        channels = forwarding.SSHListenServerForwardingChannel
        listening = forwarding.SSHListenForwardingFactory(self.conn, (host, asked), channels)
        listener = reactor.listenTCP(asked, listening, interface=host)
        port = listener.getHost().port
        listening.hostport = (host, port)
        self.listeners[host, port] = listener
        return (1, struct.pack('>L', port)) if asked == 0 else 1

    def global_cancel_tcpip_forward(self, data):
        listener = self.listeners.pop(forwarding.unpackGlobal_tcpip_forward(data), None)
        if listener is None:
            return 0
        listener.stopListening()
        return 1

    def logout(self):
        for listener in self.listeners.values():
            listener.stopListening()


@implementer(portal.IRealm)
class Realm:
    def requestAvatar(self, avatarId, mind, *wanted):
        user = User()
        return interfaces.IConchUser, user, user.logout


class Authentication(userauth.SSHUserAuthServer):
    """Lets the user `open` in without any proof: Conch refuses `none` whatever a portal says."""

    def tryAuth(self, kind, user, data):
        if kind == b'none' and user == b'open':
            return self.portal.login(credentials.Anonymous(), None, interfaces.IConchUser)
        return super().tryAuth(kind, user, data)


class Transport(transport.SSHServerTransport):
    """Tells of each exchange that is over, and starts one after so many bytes where it is to."""

    passed = 0

    def ssh_NEWKEYS(self, packet):
        super().ssh_NEWKEYS(packet)
        print('newkeys', flush=True)

    def sendPacket(self, messageType, payload):
        super().sendPacket(messageType, payload)
        self.passed += len(payload)
        limit = self.factory.rekeyBytes
        if limit and self.passed > limit and self._keyExchangeState == self._KEY_EXCHANGE_NONE:
            self.passed = 0
            self.sendKexInit()


class Factory(factory.SSHFactory):
    protocol = Transport
    services = {b'ssh-userauth': Authentication, b'ssh-connection': connection.SSHConnection}

    def __init__(self, users, files, rekeyBytes):
        self.portal = users
        self.rekeyBytes = rekeyBytes
        pairs = [keys.Key.fromFile(file) for file in files]
        self.privateKeys = {pair.sshType(): pair for pair in pairs}
        self.publicKeys = {name: pair.public() for name, pair in self.privateKeys.items()}

    def getPublicKeys(self):
        return self.publicKeys

    def getPrivateKeys(self):
        return self.privateKeys


class End(Protocol):
    """Ends the server with its standard input."""

    def connectionLost(self, reason):
        if reactor.running:
            reactor.stop()


def main():
    authorized, *files = sys.argv[1:]
    with open(authorized, encoding='utf8') as lines:
        known = [keys.Key.fromString(line) for line in lines if not line.startswith('cert-authority')]
    passwords = checkers.InMemoryUsernamePasswordDatabaseDontUse(user=b'right')
    keyChecker = SSHPublicKeyChecker(InMemorySSHKeyDB({b'user': known}))
    users = portal.Portal(Realm(), [passwords, keyChecker, checkers.AllowAnonymousAccess()])
    ports = []
    for limit in (None, MIB):
        listener = reactor.listenTCP(0, Factory(users, files, limit), interface='127.0.0.1')
        ports.append(listener.getHost().port)
    print(*ports, flush=True)
    stdio.StandardIO(End())
    reactor.run()


main()
