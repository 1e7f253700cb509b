//! A whole session with the choices of the fuzzer, in which the server violates the protocol.
//!
//! The server has the right keys, so that its messages are accepted at every stage. None of them
//! may make the client panic, send after the end, trust another key than the server's, or send
//! anything about the user to a server that is not trusted.

use std::time::Duration;

use zeroize::Zeroizing;

use super::fuzzed_session::connect;
use super::harness::messages::Part::{Flag, Text};
use super::harness::messages::build;
use super::harness::pair::{Pair, Seen};
use super::harness::random::Choices;
use super::harness::server::{Reply, Script};
use crate::client::{Phase, Setup};
use crate::fuzzing::Input;
use crate::message::{GLOBAL_REQUEST, REQUEST_SUCCESS, USERAUTH_REQUEST, USERAUTH_SUCCESS};
use crate::wire::Writer;
use crate::{ChannelId, DisconnectReason, Error, Question};

/// Maximum pending bytes: a handshake, and replies to the messages of a session.
const MAX_PENDING: usize = 1 << 20;

struct HostileSession<'a> {
    pair: Pair,
    input: Input<'a>,
    /// The channels of the application, with the bytes that are not consumed.
    channels: Vec<(ChannelId, usize)>,
    /// The decision about the host key, once it is made.
    trusted: Option<bool>,
    /// The server's key; the reply in an exchange may hold another one.
    host_key: Vec<u8>,
    asked: Option<Question>,
    /// Whether the application has requested the host keys.
    requests_host_keys: bool,
    connected: bool,
    /// Whether the server cannot decrypt what the client sends.
    cannot_decrypt: bool,
}

/// Sends messages and bytes at any time, from the identification on, between commands of the
/// application.
pub fn hostile(data: &[u8]) {
    let mut input = Input::new(data);
    let (setup, script) = unexpected_setup(&mut input);
    let cannot_decrypt = [&script.before, &script.within, &script.between]
        .into_iter()
        .flatten()
        .any(|payload| breaks_decryption(payload));
    let mut pair = Pair::new(setup, script);
    (pair.trusts, pair.consumes) = (false, input.flag());
    let host_key = pair.server.script.host_key.public_blob().to_vec();
    let mut session = HostileSession {
        pair,
        input,
        channels: Vec::new(),
        trusted: None,
        host_key,
        asked: None,
        requests_host_keys: false,
        connected: false,
        cannot_decrypt,
    };
    while !session.input.is_empty() {
        session.step();
        session.check();
    }
}

/// Returns a server with unexpected messages in the handshake.
fn unexpected_setup(input: &mut Input<'_>) -> (Setup, Script) {
    let (mut setup, mut script) = connect(input);
    let choices = input.byte();
    setup.credentials.agent = choices & 1 != 0;
    setup.credentials.interactive = choices & 2 != 0;
    setup.credentials.repetitions = 2;
    if choices & 4 != 0 {
        setup.credentials.keys.clear();
    }
    if choices & 8 != 0 {
        script.before.push(payload(input));
    }
    if choices & 16 != 0 {
        script.within.push(payload(input));
    }
    if choices & 32 != 0 {
        script.between.push(payload(input));
    }
    if choices & 64 != 0 {
        script.rounds = vec![vec![("Password: ", "secret")], vec![("Code: ", "12"), ("Name", "x")]];
    }
    if choices & 128 != 0 {
        let (field, at, value) = (input.below(3), input.below(200), input.byte());
        script.forge = Box::new(move |reply: &mut Reply| {
            let bytes = match field {
                0 => &mut reply.host_key,
                1 => &mut reply.point,
                _ => &mut reply.signature,
            };
            match bytes.get_mut(at) {
                Some(byte) => *byte ^= value,
                None => bytes.truncate(usize::from(value)),
            }
        });
    }
    (setup, script)
}

/// Returns a message, which has at least one byte.
fn payload(input: &mut Input<'_>) -> Vec<u8> {
    let mut payload = vec![input.byte()];
    payload.extend(input.chunk());
    payload
}

/// Returns whether the server cannot decrypt after it has sent this: it does not know of the key
/// exchange, or of the authentication.
fn breaks_decryption(payload: &[u8]) -> bool {
    (20..50).contains(&payload[0]) || payload[0] == USERAUTH_SUCCESS
}

impl HostileSession<'_> {
    fn step(&mut self) {
        match self.input.below(20) {
            0..=2 => {
                let payload = payload(&mut self.input);
                self.cannot_decrypt |= breaks_decryption(&payload);
                self.pair.server.send(&payload);
            }
            3 => {
                self.cannot_decrypt = true;
                self.pair.server.outbound.raw(self.input.chunk());
            }
            4 => self.damage(),
            5 if self.input.flag() => self.announce(),
            5 if self.pair.server.is_settled() => self.pair.server.start_kex(),
            6..=8 => drop(self.pair.feed_client()),
            9 => self.deliver_some(),
            10..=12 => self.feed_server(),
            13 => {
                let trust = self.input.below(8) != 7;
                if trust && self.trusted.is_none() && self.input.flag() {
                    self.pair.client.request_host_keys(Vec::new());
                    self.requests_host_keys = true;
                }
                let decided = self.pair.client.trust(trust);
                if self.trusted.is_none() && (decided.is_ok() || !trust) {
                    self.trusted = Some(trust);
                }
                self.record(decided);
            }
            14 => self.answer(),
            15 => {
                self.pair.now += Duration::from_millis(self.input.below(60_000) as u64);
                let waited = self.pair.client.handle_timeout(self.pair.now);
                self.record(waited);
            }
            16 if self.input.once_in(16) => {
                self.pair.client.disconnect(DisconnectReason::ByApplication);
            }
            _ => self.run_command(),
        }
    }

    /// Announces the server's key, or proves that it owns it.
    fn announce(&mut self) {
        let payload = if self.input.flag() {
            let parts = [Text(b"hostkeys-00@openssh.com"), Flag(false), Text(&self.host_key)];
            build(GLOBAL_REQUEST, &parts)
        } else {
            let mut signed = Vec::new();
            signed.put_string(b"hostkeys-prove-00@openssh.com");
            signed.put_string(self.pair.server.session.as_deref().unwrap_or_default());
            signed.put_string(&self.host_key);
            let signature = self.pair.server.script.host_key.sign("ssh-ed25519", &signed).unwrap();
            build(REQUEST_SUCCESS, &[Text(&signature)])
        };
        self.pair.server.send(&payload);
    }

    /// Changes one of the bytes in flight to the client.
    fn damage(&mut self) {
        let mut pending = self.pair.server.outbound.pending().to_vec();
        if pending.is_empty() {
            return;
        }
        self.cannot_decrypt = true;
        let at = self.input.below(pending.len());
        pending[at] ^= 1 << self.input.below(8);
        self.pair.server.outbound.sent(pending.len());
        self.pair.server.outbound.raw(&pending);
    }

    /// Delivers some of the bytes in flight.
    fn deliver_some(&mut self) {
        let pending = self.pair.server.outbound.pending();
        let count = self.input.below(pending.len() + 1).min(self.pair.client.space().len());
        let bytes = pending[..count].to_vec();
        self.pair.server.outbound.sent(count);
        if self.pair.error.is_none() {
            self.pair.inject(&bytes);
        }
    }

    fn feed_server(&mut self) {
        // After success, the server decompresses; the client may have disconnected before it
        // received that.
        let has_left = matches!(self.pair.client.phase, Phase::Over) && !self.connected;
        let compresses = self.pair.server.script.compression[0] != "none";
        self.cannot_decrypt |= has_left && compresses;
        if self.cannot_decrypt {
            let pending = self.pair.client.pending().len();
            self.pair.client.sent(pending);
        } else {
            self.pair.feed_server();
        }
        let received = self.pair.server.take();
        let about_user = received.iter().any(|payload| payload[0] >= USERAUTH_REQUEST);
        assert!(!about_user || self.trusted == Some(true), "sent to an untrusted server");
    }

    /// Answers a question, whether there is one or not.
    fn answer(&mut self) {
        let client = &mut self.pair.client;
        let answered = match (self.asked.take(), self.input.below(4)) {
            (Some(Question::Sign { algorithm, data, .. }), 0..=2) => {
                let signature = self.pair.server.script.host_key.sign(algorithm, &data);
                client.signature(signature.map_err(|error| error.to_string()))
            }
            (Some(Question::Prompts(prompts)), 0..=2) => {
                let answer = Zeroizing::new("secret".into());
                client.responses(Some(&vec![answer; prompts.prompts.len()]))
            }
            (Some(Question::Identities), 0..=2) => {
                client.identities(Ok(vec![self.host_key.clone(), self.input.chunk().to_vec()]))
            }
            (Some(Question::Password), 0..=2) => client.password(Some(b"secret")),
            (_, 0) => client.identities(Err("none".into())),
            (_, 1) => client.signature(Ok(self.input.chunk().to_vec())),
            _ => client.responses(None),
        };
        self.record(answered);
    }

    fn run_command(&mut self) {
        let client = &mut self.pair.client;
        let at = self.input.below(8);
        let Some((id, unconsumed)) = self.channels.get_mut(at) else {
            if self.connected {
                let id = if at.is_multiple_of(2) {
                    client.open_direct_tcpip("db", 5432, "::1", 4000)
                } else {
                    client.open_direct_streamlocal("/run/db")
                };
                self.channels.retain(|(other, _)| *other != id);
                self.channels.push((id, 0));
            }
            return;
        };
        let id = *id;
        match self.input.below(4) {
            0 => {
                let _ = self.pair.fill(id, &[7; 5000]);
            }
            1 => {
                let count = self.input.below(*unconsumed + 1);
                *unconsumed -= count;
                client.consumed(id, count, self.pair.now);
            }
            2 => client.eof(id),
            _ => client.close(id),
        }
    }

    /// Records the error of a command that has ended the session.
    fn record(&mut self, done: Result<(), Error>) {
        let Err(error) = done else { return };
        // A decision that is not awaited is an error that does not end the session.
        if !matches!(self.pair.client.phase, Phase::Over) {
            return;
        }
        assert!(matches!(self.pair.client.next_event(), Ok(None)));
        self.pair.error.get_or_insert(error);
    }

    /// Checks the events, and what the client sends.
    fn check(&mut self) {
        for seen in self.pair.take() {
            match seen {
                Seen::HostKey(blob) => {
                    assert!(blob == self.host_key && self.trusted.is_none());
                }
                Seen::Banner(banner) => {
                    assert!(self.trusted == Some(true) && !self.connected);
                    let kept = |c: char| c.is_control() && c != '\n' && c != '\t';
                    assert!(!banner.message.contains(kept) && !banner.language.contains(kept));
                }
                Seen::Question(question) => {
                    assert!(self.trusted == Some(true) && !self.connected);
                    self.asked = Some(question);
                }
                Seen::Ready => {
                    assert!(self.trusted == Some(true) && !self.connected);
                    self.connected = true;
                }
                Seen::Data(id, bytes) => {
                    let channel = self.channels.iter_mut().find(|(other, _)| *other == id);
                    let (_, unconsumed) = channel.expect("one of ours");
                    if !self.pair.consumes {
                        *unconsumed += bytes.len();
                    }
                }
                Seen::Opened(_)
                | Seen::OpenFailed(..)
                | Seen::Window(_)
                | Seen::Eof(_)
                | Seen::Close(_)
                | Seen::Rekeyed => assert!(self.connected),
                Seen::HostKeys(blobs) => {
                    assert!(self.requests_host_keys && self.connected);
                    assert!(blobs.iter().all(|blob| *blob == self.host_key), "it has no others");
                }
                Seen::Forward(..) => panic!("none was requested"),
            }
        }
        assert!(self.pair.client.pending().len() < MAX_PENDING);
        if self.pair.error.is_some() {
            assert!(!self.pair.client.is_connected() && !self.pair.client.has_room());
        }
    }
}
