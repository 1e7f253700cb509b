//! Transport messages: key exchange, and what any phase may bring.

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
use crate::wire::{Reader, Writer, message};

/// The service that authenticates the user (RFC 4252).
const USERAUTH: &[u8] = b"ssh-userauth";

/// How far a key exchange has come.
enum Stage {
    /// None is under way.
    Settled,
    /// Our KEXINIT is sent, the server's is awaited: in the first exchange, and in later ones that
    /// we start. Until it comes the server may go on with what it does.
    Offered { ours: Vec<u8> },
    /// Our half is sent, the server's is awaited.
    Agreeing { exchange: Exchange, algorithms: Agreed, ours: Vec<u8>, theirs: Vec<u8> },
    /// The server's half is good; whether its key is trusted is being decided.
    Deciding { secrets: Secrets, algorithms: Agreed },
    /// Our NEWKEYS is sent, the server's is awaited.
    Switching { opener: Opener, compression: Compression },
}

/// Fills its argument with random bytes.
type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// The session's keys and how they are changed.
pub(super) struct Keys {
    stage: Stage,
    random: Random,
    /// What we offer in every exchange.
    offer: Offer,
    /// The server's identification string.
    version: String,
    /// Strict key exchange, as agreed in the first one.
    strict: bool,
    /// The hash of the first exchange.
    session: Option<Vec<u8>>,
    /// The host key of the first exchange; it may not change within a session.
    host_key: Option<HostKey>,
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
        }
    }

    /// As if the first exchange were over, with keys that hide nothing.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn skip_first_exchange(&mut self) {
        self.stage = Stage::Settled;
        self.session = Some(Vec::new());
    }

    pub(super) fn identified(&mut self, version: String) {
        self.version = version;
    }

    /// Whether a request to authenticate may come in the flight of NEWKEYS. A server made of libssh
    /// (0.10) waits in its key exchange for ever if a request that comes so early is granted.
    pub(super) fn takes_early_requests(&self) -> bool {
        !self.version.starts_with("SSH-2.0-libssh")
    }

    /// By how much the server's UNIMPLEMENTED names too high a number: tinyssh has counted the message
    /// already. Unnoticed, it would be about the next one, which may be answered, too.
    pub(super) fn counts_ahead(&self) -> u32 {
        u32::from(self.version.starts_with("SSH-2.0-tinyssh"))
    }

    /// Whether messages other than those of the key exchange may be sent.
    pub(super) fn are_settled(&self) -> bool {
        matches!(self.stage, Stage::Settled | Stage::Switching { .. })
    }

    /// Whether no exchange is under way, so that one may be started.
    pub(super) fn may_change(&self) -> bool {
        matches!(self.stage, Stage::Settled)
    }

    /// Whether the server's half is awaited.
    fn await_half(&self) -> bool {
        matches!(self.stage, Stage::Agreeing { .. })
    }

    pub(super) fn wait_for_trust(&self) -> bool {
        matches!(self.stage, Stage::Deciding { .. })
    }

    /// Whether the message is the guess that turned out wrong: of a method that we do not know,
    /// and so under any number that methods may use (RFC 4253 section 7).
    fn skips_guess(&mut self) -> bool {
        match &mut self.stage {
            Stage::Agreeing { algorithms, .. } => std::mem::take(&mut algorithms.wrong_guess),
            Stage::Settled
            | Stage::Offered { .. }
            | Stage::Deciding { .. }
            | Stage::Switching { .. } => false,
        }
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }

    /// Whether the first exchange has come far enough to know who the session is.
    pub(super) fn has_session(&self) -> bool {
        self.session.is_some()
    }

    pub(super) fn session(&self) -> &[u8] {
        self.session.as_deref().expect("the first exchange is complete before anyone asks")
    }
}

impl Client {
    /// Starts a key exchange from our side.
    pub(super) fn offer(&mut self) {
        let cookie = self.keys.random();
        let ours = self.keys.offer.payload(cookie, self.keys.session.is_none());
        self.outbound.packet(&ours);
        self.keys.stage = Stage::Offered { ours };
    }

    /// Refuses what may not come in the first exchange: anything slipped into a strict one, and
    /// anything but key exchange once the server has announced it. In later exchanges messages are
    /// under keys that nobody else has. A server should send none between its KEXINIT and its
    /// NEWKEYS, but some answer then what they were asked before: those are taken as ever.
    pub(super) fn check_order(&self, number: u8) -> Result<(), Error> {
        if !matches!(self.phase, Phase::Handshake) {
            return Ok(());
        }
        if !matches!(self.keys.stage, Stage::Settled) && number >= USERAUTH_REQUEST {
            return Err(Error::Protocol("a message in the middle of a key exchange"));
        }
        if self.keys.strict
            && !(KEXINIT..USERAUTH_REQUEST).contains(&number)
            && number != DISCONNECT
        {
            return Err(Error::Protocol("a message slipped into the strict key exchange"));
        }
        Ok(())
    }

    /// Handles every message but those that come in masses.
    pub(super) fn message(&mut self, number: u8, payload: &[u8]) -> Result<Option<Event>, Error> {
        match number {
            DISCONNECT => Err(self.disconnected(payload)?),
            IGNORE | DEBUG => Ok(None),
            UNIMPLEMENTED => Ok(self.unimplemented(&mut Reader::new(&payload[1..]))),
            KEXINIT => self.kexinit(payload).map(|()| None),
            KEX_ECDH_INIT..USERAUTH_REQUEST if self.keys.await_half() => self.kex_method(payload),
            KEX_ECDH_REPLY => Err(Error::Protocol("an answer without a key exchange")),
            NEWKEYS => self.new_keys(),
            // In the clear anybody could have said it.
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
            self.offer();
        }
        let Stage::Offered { ours } = std::mem::replace(&mut self.keys.stage, Stage::Settled)
        else {
            return Err(Error::Protocol("a key exchange within a key exchange"));
        };
        if self.keys.session.is_none() {
            self.keys.strict = algorithms.strict;
            // Something before the first KEXINIT may have been slipped in, unseen until now.
            if algorithms.strict && self.inbound.sequence() != 1 {
                return Err(Error::Protocol("a message slipped into the strict key exchange"));
            }
        }
        algorithms.strict = self.keys.strict;
        let exchange = Exchange::new(algorithms.kex, &mut self.keys.random);
        self.outbound.packet(&exchange.init());
        let theirs = payload.to_vec();
        self.keys.stage = Stage::Agreeing { exchange, algorithms, ours, theirs };
        Ok(())
    }

    /// A message whose meaning depends on the method.
    fn kex_method(&mut self, payload: &[u8]) -> Result<Option<Event>, Error> {
        if self.keys.skips_guess() {
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
                Ok(Some(Event::HostKey(host_key)))
            }
            Some(known) if *known == host_key => self.switch_keys().map(|()| None),
            Some(_) => Err(Error::HostKey("it changed within the session".into())),
        }
    }

    /// The server is trusted: seals with the new keys from here on, and in the first exchange goes
    /// on to the user in the same breath.
    pub(super) fn switch_keys(&mut self) -> Result<(), Error> {
        let stage = std::mem::replace(&mut self.keys.stage, Stage::Settled);
        let Stage::Deciding { secrets, algorithms } = stage else {
            return Err(Error::Protocol("no host key was to be decided about"));
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
        self.replies = 0;
        for (payload, opens) in std::mem::take(&mut self.held) {
            if let Some(channel) = opens {
                self.channels.open_sent(channel, self.outbound.next_number());
            }
            self.outbound.packet(&payload);
        }
        self.send_requests(self.watch.last_heard());
        Ok(())
    }

    fn new_keys(&mut self) -> Result<Option<Event>, Error> {
        let stage = std::mem::replace(&mut self.keys.stage, Stage::Settled);
        let Stage::Switching { opener, compression } = stage else {
            return Err(Error::Protocol("NEWKEYS without a key exchange"));
        };
        self.inbound.rekey(opener, compression, self.keys.strict);
        self.wear.renewed(self.watch.last_heard());
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
                self.auth.takes_signatures(&String::from_utf8_lossy(value));
            }
        }
        Ok(())
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
        // OpenSSH calls too many failed attempts a protocol error, and says so in words only.
        let failed = reason == DisconnectReason::NoMoreAuthMethods as u32
            || description.contains("authentication failures");
        Ok(if failed && authenticating {
            Error::Auth(format!("authentication failed: {description}"))
        } else {
            Error::Disconnected { reason, description }
        })
    }
}
