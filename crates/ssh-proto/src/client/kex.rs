//! Messages of the transport layer (RFC 4253): key exchange, and what may come in any phase.

use super::{Client, Event, Phase};
use crate::Error;
use crate::key::HostKey;
use crate::message::{
    DEBUG, DISCONNECT, DisconnectReason, EXT_INFO, IGNORE, KEX_ECDH_INIT, KEX_ECDH_REPLY, KEXINIT,
    NEWKEYS, SERVICE_REQUEST, UNIMPLEMENTED, USERAUTH_REQUEST,
};
use crate::text::one_line;
use crate::transport::{
    Agreed, Compression, Direction, Exchange, Identification, KexInit, Offer, Opener, Secrets,
    Step, Transcript,
};
use crate::userauth::agent::request_binding;
use crate::wire::{Reader, Writer, message};

/// The name of the authentication service (RFC 4252).
const USERAUTH: &[u8] = b"ssh-userauth";

/// The state of the key exchange.
enum Stage {
    /// No exchange is in progress.
    Settled,
    /// Our KEXINIT is sent, the server's is awaited: in the first exchange, and in later ones that
    /// we start. Until it comes, other messages of the server may come.
    Started { ours: Vec<u8> },
    /// Our public value is sent, the server's is awaited.
    Agreeing { exchange: Exchange, algorithms: Agreed, ours: Vec<u8>, theirs: Vec<u8> },
    /// The server's signature is verified; whether its key is trusted is being decided.
    Deciding { secrets: Secrets, algorithms: Agreed },
    /// Our NEWKEYS is sent, the server's is awaited.
    Switching { opener: Opener, compression: Compression },
}

/// Source of randomness: fills its argument.
type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// The keys of a session, and their exchange.
pub(super) struct Keys {
    stage: Stage,
    random: Random,
    /// Our algorithms, the same in every exchange.
    offer: Offer,
    /// The server's identification string.
    version: String,
    /// Whether key exchange is strict, as agreed in the first one.
    strict: bool,
    /// The session identifier: the hash of the first exchange.
    session: Option<Vec<u8>>,
    /// The host key of the first exchange; it may not change within a session.
    host_key: Option<HostKey>,
    /// The host key of the first exchange and its signature, as received, for the agent.
    proof: Option<Proof>,
}

/// A host key, and its signature over the session identifier.
struct Proof {
    host_key: Vec<u8>,
    signature: Vec<u8>,
}

impl Keys {
    pub(super) fn new(random: Random, offer: Offer) -> Self {
        Self {
            stage: Stage::Settled,
            random,
            offer,
            version: String::new(),
            strict: false,
            session: None,
            host_key: None,
            proof: None,
        }
    }

    /// Skips the first exchange: the session stays unencrypted.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn skip_first_exchange(&mut self) {
        self.stage = Stage::Settled;
        self.session = Some(Vec::new());
    }

    /// Records the server's identification string.
    pub(super) fn identified(&mut self, version: String) {
        self.version = version;
    }

    /// Returns whether an authentication request may follow NEWKEYS at once. A server that uses
    /// libssh 0.10 never leaves its key exchange if such an early request is granted.
    pub(super) fn accepts_early_requests(&self) -> bool {
        !self.version.starts_with("SSH-2.0-libssh")
    }

    /// Returns whether a CHANNEL_OPEN may follow an authentication request at once: OpenSSH goes on if
    /// that request is refused, where others may disconnect. That of Windows is left out, because it was
    /// not tried.
    pub(super) fn accepts_early_opens(&self) -> bool {
        let release = self.version.strip_prefix("SSH-2.0-OpenSSH_");
        release.is_some_and(|release| release.starts_with(|first: char| first.is_ascii_digit()))
    }

    /// Returns by how much the sequence number in the server's UNIMPLEMENTED is too high: tinyssh has
    /// counted the message already. The number would stand for the next message.
    pub(super) fn counts_ahead(&self) -> u32 {
        u32::from(self.version.starts_with("SSH-2.0-tinyssh"))
    }

    /// Returns whether messages other than those of the key exchange may be sent.
    pub(super) fn are_settled(&self) -> bool {
        matches!(self.stage, Stage::Settled | Stage::Switching { .. })
    }

    /// Returns whether no exchange is in progress, so that one may be started.
    pub(super) fn may_start(&self) -> bool {
        matches!(self.stage, Stage::Settled)
    }

    /// Returns whether the server's public value is awaited.
    fn is_agreeing(&self) -> bool {
        matches!(self.stage, Stage::Agreeing { .. })
    }

    /// Returns whether the host key awaits the decision of the application.
    pub(super) fn wait_for_trust(&self) -> bool {
        matches!(self.stage, Stage::Deciding { .. })
    }

    /// Returns whether the message is a wrong guess (RFC 4253 section 7), once. The method of the
    /// guess is unknown, and so the message may have any number that methods use.
    fn take_wrong_guess(&mut self) -> bool {
        match &mut self.stage {
            Stage::Agreeing { algorithms, .. } => std::mem::take(&mut algorithms.wrong_guess),
            Stage::Settled
            | Stage::Started { .. }
            | Stage::Deciding { .. }
            | Stage::Switching { .. } => false,
        }
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }

    /// Returns whether there is a session identifier yet.
    pub(super) fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// Returns the message that binds an agent's connection to this session, which an agent needs that
    /// restricts its keys to hosts. `None` before the first exchange, and after the authentication.
    pub(super) fn agent_binding(&self) -> Option<Vec<u8>> {
        let Proof { host_key, signature } = self.proof.as_ref()?;
        Some(request_binding(host_key, self.session.as_deref()?, signature))
    }

    /// Discards what only the authentication needs.
    pub(super) fn authenticated(&mut self) {
        self.proof = None;
    }

    /// Returns the session identifier.
    pub(super) fn session(&self) -> &[u8] {
        self.session.as_deref().expect("the first exchange is complete")
    }
}

/// Reads the last message of a key exchange, whose signature is verified.
fn proof(payload: &[u8]) -> Result<Proof, Error> {
    let mut fields = Reader::new(payload);
    fields.byte()?;
    let (host_key, _, signature) = (fields.string()?, fields.string()?, fields.string()?);
    Ok(Proof { host_key: host_key.to_vec(), signature: signature.to_vec() })
}

impl Client {
    /// Starts a key exchange from our side.
    pub(super) fn start_kex(&mut self) {
        let cookie = self.keys.random();
        let ours = self.keys.offer.payload(cookie, self.keys.session.is_none());
        self.outbound.packet(&ours);
        if self.keys.has_session() {
            self.log.write(|| {
                let (sent, received) = (self.outbound.volume().bytes, self.inbound.volume().bytes);
                format!("rekey: begins after {sent} bytes sent and {received} received")
            });
        }
        self.keys.stage = Stage::Started { ours };
    }

    /// Refuses messages that may not come in the first exchange: any other message in a strict one,
    /// and anything but key exchange after the server's KEXINIT. In later exchanges messages are
    /// authenticated. A server should send none between its KEXINIT and its NEWKEYS, but some reply
    /// then to earlier requests: these are accepted.
    pub(super) fn check_order(&self, number: u8) -> Result<(), Error> {
        if !matches!(self.phase, Phase::Handshake) {
            return Ok(());
        }
        if !matches!(self.keys.stage, Stage::Settled) && number >= USERAUTH_REQUEST {
            return Err(Error::Protocol("an unexpected message during the key exchange"));
        }
        if self.keys.strict
            && !(KEXINIT..USERAUTH_REQUEST).contains(&number)
            && number != DISCONNECT
        {
            return Err(Error::Protocol("an unexpected message during the strict key exchange"));
        }
        Ok(())
    }

    /// Handles every message except the two that are read in place.
    pub(super) fn message(&mut self, number: u8, payload: &[u8]) -> Result<Option<Event>, Error> {
        match number {
            DISCONNECT => Err(self.disconnected(payload)?),
            IGNORE => Ok(None),
            DEBUG => {
                self.log_remote(payload);
                Ok(None)
            }
            UNIMPLEMENTED => Ok(self.unimplemented(&mut Reader::new(&payload[1..]))),
            KEXINIT => self.kexinit(payload).map(|()| None),
            KEX_ECDH_INIT..USERAUTH_REQUEST if self.keys.is_agreeing() => self.kex_method(payload),
            KEX_ECDH_REPLY => Err(Error::Protocol("an answer without a key exchange")),
            NEWKEYS => self.new_keys(),
            // Only after the first exchange is it authenticated.
            EXT_INFO if !matches!(self.phase, Phase::Handshake) => {
                self.ext_info(payload).map(|()| None)
            }
            _ => match self.phase {
                Phase::Authenticating => self.authentication(number, payload),
                Phase::Connected => self.connection(number, payload),
                Phase::Identifying(_) | Phase::Handshake | Phase::Over => {
                    Err(Error::Protocol("an unexpected message in the key exchange"))
                }
            },
        }
    }

    fn kexinit(&mut self, payload: &[u8]) -> Result<(), Error> {
        let init = KexInit::parse(payload)?;
        let mut algorithms = self.keys.offer.negotiate(&init)?;
        if matches!(self.keys.stage, Stage::Settled) {
            self.start_kex();
        }
        let Stage::Started { ours } = std::mem::replace(&mut self.keys.stage, Stage::Settled)
        else {
            return Err(Error::Protocol("a key exchange within a key exchange"));
        };
        if self.keys.session.is_none() {
            self.keys.strict = algorithms.strict;
            // A message before the first KEXINIT may have been inserted.
            if algorithms.strict && self.inbound.sequence() != 1 {
                return Err(Error::Protocol(
                    "an unexpected message during the strict key exchange",
                ));
            }
        }
        algorithms.strict = self.keys.strict;
        self.log.write(|| &algorithms);
        let key_bits = algorithms.to_server.key_bits().max(algorithms.to_client.key_bits());
        let exchange = Exchange::new(algorithms.kex, key_bits, &mut self.keys.random);
        self.outbound.packet(&exchange.init());
        let theirs = payload.to_vec();
        self.keys.stage = Stage::Agreeing { exchange, algorithms, ours, theirs };
        Ok(())
    }

    /// Handles a message whose meaning depends on the key exchange method.
    fn kex_method(&mut self, payload: &[u8]) -> Result<Option<Event>, Error> {
        if self.keys.take_wrong_guess() {
            return Ok(None);
        }
        let Stage::Agreeing { exchange, algorithms, ours, theirs } = &mut self.keys.stage else {
            return Err(Error::Protocol("an answer without a key exchange"));
        };
        let transcript = Transcript {
            client_version: Identification::ours(),
            server_version: &self.keys.version,
            client_init: ours,
            server_init: theirs,
        };
        let session = self.keys.session.as_deref();
        let step = exchange.handle(payload, algorithms.host_key, &transcript, session)?;
        let (host_key, secrets) = match step {
            Step::Send(message) => {
                self.outbound.packet(&message);
                return Ok(None);
            }
            Step::Done(host_key, secrets) => (host_key, secrets),
        };
        let algorithms = algorithms.clone();
        self.keys.stage = Stage::Deciding { secrets, algorithms };
        match &self.keys.host_key {
            None => {
                self.keys.host_key = Some(host_key.clone());
                self.keys.proof = Some(proof(payload)?);
                Ok(Some(Event::HostKey(host_key)))
            }
            Some(known) if *known == host_key => self.switch_keys().map(|()| None),
            Some(_) => Err(Error::HostKey("it changed within the session".into())),
        }
    }

    /// Sends NEWKEYS and uses the new keys from here on. In the first exchange, the authentication
    /// begins in the same flight.
    pub(super) fn switch_keys(&mut self) -> Result<(), Error> {
        let stage = std::mem::replace(&mut self.keys.stage, Stage::Settled);
        let Stage::Deciding { secrets, algorithms } = stage else {
            return Err(Error::Protocol("no host key awaits a decision"));
        };
        self.outbound.packet(&[NEWKEYS]);
        let sealer = algorithms.to_server.sealer(&secrets, Direction::ToServer);
        self.outbound.rekey(sealer, algorithms.compression_to_server, algorithms.strict);
        let opener = algorithms.to_client.opener(&secrets, Direction::ToClient);
        let compression = algorithms.compression_to_client;
        self.keys.stage = Stage::Switching { opener, compression };
        if self.keys.session.is_none() {
            self.keys.session = Some(secrets.session().to_vec());
            let mut request = message(SERVICE_REQUEST);
            request.put_string(USERAUTH);
            self.outbound.packet(&request);
            self.begin_authentication()?;
        }
        self.send_held();
        self.send_requests(self.keepalive.last_received());
        Ok(())
    }

    fn new_keys(&mut self) -> Result<Option<Event>, Error> {
        let stage = std::mem::replace(&mut self.keys.stage, Stage::Settled);
        let Stage::Switching { opener, compression } = stage else {
            return Err(Error::Protocol("NEWKEYS without a key exchange"));
        };
        self.inbound.rekey(opener, compression, self.keys.strict);
        self.rekey.renewed(self.keepalive.last_received());
        self.log.write(|| "key exchange done: new keys in both directions");
        if matches!(self.phase, Phase::Handshake) {
            self.phase = Phase::Authenticating;
            return Ok(None);
        }
        Ok(matches!(self.phase, Phase::Connected).then_some(Event::Rekeyed))
    }

    fn ext_info(&mut self, payload: &[u8]) -> Result<(), Error> {
        let mut reader = Reader::new(payload);
        reader.byte()?;
        let count = reader.uint32()?;
        for _ in 0..count {
            let (name, value) = (reader.string()?, reader.string()?);
            if name == b"server-sig-algs" {
                let names = String::from_utf8_lossy(value);
                self.log.write(|| format!("the server accepts signatures with {names}"));
                self.auth.set_signature_algorithms(&names);
            }
        }
        Ok(())
    }

    /// Logs SSH_MSG_DEBUG: `boolean always display, string message, string language tag`.
    fn log_remote(&self, payload: &[u8]) {
        let mut reader = Reader::new(payload);
        let text = reader.byte().and_then(|_| reader.boolean()).and_then(|_| reader.string());
        if let Ok(text) = text {
            self.log.write(|| format!("the server says: {}", one_line(text)));
        }
    }

    fn disconnected(&mut self, payload: &[u8]) -> Result<Error, Error> {
        let mut reader = Reader::new(payload);
        reader.byte()?;
        let reason = reader.uint32()?;
        let description = one_line(reader.string().unwrap_or_default());
        let authenticating = matches!(self.phase, Phase::Authenticating);
        if authenticating && self.auth.is_last_resort() {
            return Ok(self.auth.exhausted());
        }
        // OpenSSH reports too many failed attempts as a protocol error; only the text tells.
        let failed = reason == DisconnectReason::NoMoreAuthMethods as u32
            || description.contains("authentication failures");
        Ok(if failed && authenticating {
            self.auth.failure(format!("authentication failed: {description}"))
        } else {
            Error::Disconnected { reason, description }
        })
    }
}
