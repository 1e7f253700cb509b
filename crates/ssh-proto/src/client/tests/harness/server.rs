//! A server that follows a script.
//!
//! It shares the packet layer and the ciphers with the client, but computes the exchange hash and
//! verifies the user's signature by itself, so that a mistake in what is hashed or signed is found.

use aws_lc_rs::digest::digest;

use super::kex_server::{self, Group};
use super::messages::Part::{Number, Text};
use super::messages::build;
use super::random::Random;
use crate::key::PrivateKey;
use crate::message::{
    EXT_INFO, KEX_DH_GEX_GROUP, KEX_DH_GEX_INIT, KEX_DH_GEX_REPLY, KEX_DH_GEX_REQUEST,
    KEX_ECDH_INIT, KEX_ECDH_REPLY, KEXINIT, NEWKEYS, SERVICE_ACCEPT, SERVICE_REQUEST,
    USERAUTH_INFO_RESPONSE, USERAUTH_REQUEST, USERAUTH_SUCCESS,
};
use crate::transport::{
    Compression, Direction, GROUP_14, GROUP_16, GROUP_18, Inbound, Kex, Opener, Outbound,
    Protection, Secrets,
};
use crate::wire::{Reader, Writer, message};

/// The server's identification.
const VERSION: &str = "SSH-2.0-scripted a comment";

/// A private key of the fixtures, which are used nowhere else.
macro_rules! fixture {
    ($name:literal) => {
        crate::key::PrivateKey::parse(
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/key/fixtures/", $name))
                .as_slice(),
            None,
        )
        .unwrap()
    };
}
pub(crate) use fixture;

/// The server's reply in a key exchange, before it is sent.
pub(crate) struct Reply {
    pub(crate) host_key: Vec<u8>,
    pub(crate) point: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// The behavior of a server.
pub(crate) struct Script {
    pub(crate) version: &'static str,
    pub(crate) host_key: PrivateKey,
    /// A host key to send instead of its own.
    pub(crate) certificate: Option<Vec<u8>>,
    /// The one host key algorithm that it offers and signs with.
    pub(crate) algorithm: &'static str,
    /// Its key exchange methods, comma-separated.
    pub(crate) kex: &'static str,
    /// The group that it sends in group exchange.
    pub(crate) group: Group,
    /// Whether it answers the client's KEXINIT at once, and does not wait for the test.
    pub(crate) answers: bool,
    pub(crate) cipher: &'static str,
    pub(crate) mac: &'static str,
    /// Its compression methods, to the server and to the client: the client has to offer them.
    pub(crate) compression: [&'static str; 2],
    pub(crate) strict: bool,
    /// Whether it claims that a guessed packet follows its KEXINIT.
    pub(crate) guesses: bool,
    pub(crate) sig_algs: Option<&'static str>,
    /// The methods that USERAUTH_FAILURE lists.
    pub(crate) methods: &'static str,
    /// The public key that it accepts.
    pub(crate) user: Option<Vec<u8>>,
    pub(crate) password: Option<&'static str>,
    /// Methods that are required, in this order; empty: any one is enough.
    pub(crate) sequence: Vec<&'static str>,
    /// The prompts of keyboard-interactive with their responses, by round.
    pub(crate) rounds: Vec<Vec<(&'static str, &'static str)>>,
    /// Sent between the identification and the first KEXINIT.
    pub(crate) before: Vec<Vec<u8>>,
    /// Sent after the first KEXINIT.
    pub(crate) within: Vec<Vec<u8>>,
    /// Sent between its reply and its NEWKEYS in the next exchange.
    pub(crate) between: Vec<Vec<u8>>,
    /// Changes the reply before it is sent.
    pub(crate) forge: Box<dyn FnMut(&mut Reply)>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            version: VERSION,
            host_key: fixture!("ed25519"),
            certificate: None,
            algorithm: "ssh-ed25519",
            kex: "curve25519-sha256",
            group: Group::of(&GROUP_14),
            answers: true,
            cipher: "aes256-gcm@openssh.com",
            mac: "hmac-sha2-256",
            compression: ["none"; 2],
            strict: true,
            guesses: false,
            sig_algs: Some("ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256"),
            methods: "publickey,password",
            user: Some(fixture!("ed25519b.pkcs8").public_blob().to_vec()),
            password: Some("secret"),
            sequence: Vec::new(),
            rounds: Vec::new(),
            before: Vec::new(),
            within: Vec::new(),
            between: Vec::new(),
            forge: Box::new(|_| {}),
        }
    }
}

/// The state of the key exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Settled,
    /// Its KEXINIT is sent.
    Offered,
    /// Its NEWKEYS is sent, the client's is awaited.
    Switched,
}

pub(crate) struct Server {
    pub(crate) script: Script,
    pub(crate) outbound: Outbound,
    /// The messages of the client that the test has not taken.
    pub(crate) received: Vec<Vec<u8>>,
    /// The sequence number of the next packet.
    pub(crate) sequence: u32,
    inbound: Inbound,
    /// The client's identification, before the first packet.
    line: Vec<u8>,
    version: Option<String>,
    stage: Stage,
    /// Both KEXINIT payloads.
    ours: Vec<u8>,
    theirs: Vec<u8>,
    opener: Option<Opener>,
    /// The client has sent NEWKEYS, and its next packet has the new keys.
    announced: bool,
    /// A reply to the user that waits for the new keys.
    postponed: Option<Vec<u8>>,
    pub(crate) session: Option<Vec<u8>>,
    /// Rounds of prompts with the right responses.
    pub(crate) round: usize,
    /// The size of the group that the client prefers.
    pub(crate) preferred_group: u32,
    random: Random,
}

impl Server {
    pub(crate) fn new(script: Script) -> Self {
        let mut server = Self {
            script,
            outbound: Outbound::new(),
            received: Vec::new(),
            sequence: 0,
            inbound: Inbound::new(),
            line: Vec::new(),
            version: None,
            stage: Stage::Settled,
            ours: Vec::new(),
            theirs: Vec::new(),
            opener: None,
            announced: false,
            postponed: None,
            session: None,
            round: 0,
            preferred_group: 0,
            random: Random(7),
        };
        let version = server.script.version;
        server.outbound.raw(format!("hello there\r\n{version}\r\n").as_bytes());
        for payload in std::mem::take(&mut server.script.before) {
            server.send(&payload);
        }
        server.start_kex();
        for payload in std::mem::take(&mut server.script.within) {
            server.send(&payload);
        }
        server
    }

    pub(crate) fn send(&mut self, payload: &[u8]) {
        self.outbound.packet(payload);
        self.sequence = self.sequence.wrapping_add(1);
        if payload[0] == USERAUTH_SUCCESS {
            self.inbound.authenticated();
            self.outbound.authenticated();
        }
    }

    /// Receives bytes of the client.
    pub(crate) fn receive(&mut self, mut bytes: &[u8]) {
        if self.version.is_none() {
            let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
            self.line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end..];
            if let Some(line) = self.line.strip_suffix(b"\r\n") {
                self.version = Some(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        while !bytes.is_empty() {
            let space = self.inbound.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.inbound.filled(count);
            bytes = &bytes[count..];
            loop {
                while let Some(range) = self.inbound.packet().expect("the client's are sound") {
                    let payload = self.inbound.bytes(range).to_vec();
                    self.handle(&payload);
                    self.received.push(payload);
                }
                if !self.inbound.make_room() {
                    break;
                }
            }
        }
    }

    /// Takes the messages received so far.
    pub(crate) fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.received)
    }

    /// Takes the numbers of the messages received so far.
    pub(crate) fn numbers(&mut self) -> Vec<u8> {
        self.take().iter().map(|payload| payload[0]).collect()
    }

    /// Starts a key exchange.
    pub(crate) fn start_kex(&mut self) {
        assert_eq!(self.stage, Stage::Settled);
        let Script { kex, algorithm, cipher, mac, compression, strict, guesses, .. } = self.script;
        let [up, down] = compression;
        let first = self.session.is_none();
        let marker = if strict && first { ",kex-strict-s-v00@openssh.com" } else { "" };
        let kex = format!("{kex}{marker}");
        let mut payload = message(KEXINIT);
        payload.extend(self.random.bytes(16));
        for list in [&kex, algorithm, cipher, cipher, mac, mac, up, down, "", ""] {
            payload.put_string(list.as_bytes());
        }
        payload.put_boolean(guesses);
        payload.put_uint32(0);
        self.send(&payload);
        self.ours = payload;
        self.stage = Stage::Offered;
    }

    /// Returns whether only messages of the key exchange may be sent.
    pub(crate) fn is_exchanging(&self) -> bool {
        self.stage == Stage::Offered
    }

    /// Returns whether no key exchange is in progress.
    pub(crate) fn is_settled(&self) -> bool {
        self.stage == Stage::Settled
    }

    fn handle(&mut self, payload: &[u8]) {
        match payload[0] {
            KEXINIT => {
                assert!(!self.announced && self.stage != Stage::Switched, "one at a time");
                self.announced = true;
                self.theirs = payload.to_vec();
                if self.stage == Stage::Settled && self.script.answers {
                    self.start_kex();
                }
            }
            KEX_DH_GEX_REQUEST => {
                let preferred = u32::from_be_bytes(payload[5..9].try_into().unwrap());
                let expected = [Number(2048), Number(preferred), Number(8192)];
                assert_eq!(payload, build(KEX_DH_GEX_REQUEST, &expected));
                self.preferred_group = preferred;
                let Group { prime, generator } = &self.script.group;
                let group = build(KEX_DH_GEX_GROUP, &[Text(prime), Text(generator)]);
                self.send(&group);
            }
            KEX_ECDH_INIT | KEX_DH_GEX_INIT => self.answer(payload),
            NEWKEYS => {
                assert_eq!(self.stage, Stage::Switched);
                let compression = compression(self.script.compression[0]);
                self.inbound.rekey(self.opener.take().unwrap(), compression, self.script.strict);
                self.stage = Stage::Settled;
                self.announced = false;
            }
            SERVICE_REQUEST => {
                assert_eq!(payload, build(SERVICE_REQUEST, &[Text(b"ssh-userauth")]));
                self.send(&build(SERVICE_ACCEPT, &[Text(b"ssh-userauth")]));
            }
            USERAUTH_REQUEST => {
                let answer = self.reply_to_request(payload);
                self.tell(answer);
            }
            USERAUTH_INFO_RESPONSE => {
                let answer = self.reply_to_responses(payload);
                self.tell(answer);
            }
            number => {
                let held = self.announced && number >= USERAUTH_REQUEST;
                assert!(!held, "message {number} before the client's NEWKEYS");
            }
        }
    }

    /// Returns the first method of the client's list that the server has too.
    fn method(&self) -> &'static str {
        let mut reader = Reader::new(&self.theirs);
        reader.bytes(17).unwrap();
        let theirs = reader.text().unwrap();
        let has = |name: &str| self.script.kex.split(',').any(|ours| ours == name);
        let chosen = theirs.split(',').find(|name| has(name)).unwrap();
        Kex::ALL.into_iter().map(|(name, _)| name).find(|name| *name == chosen).unwrap()
    }

    /// Sends a reply to the user, after the new keys if they are awaited.
    fn tell(&mut self, answer: Vec<u8>) {
        if self.is_exchanging() {
            self.postponed = Some(answer);
        } else {
            self.send(&answer);
        }
    }

    /// Sends NEWKEYS, and seals with the new keys from here on.
    fn answer(&mut self, init: &[u8]) {
        let mut reader = Reader::new(init);
        reader.byte().unwrap();
        let theirs = reader.string().unwrap();
        let method = self.method();
        let group = match method {
            "diffie-hellman-group14-sha256" => Group::of(&GROUP_14),
            "diffie-hellman-group16-sha512" => Group::of(&GROUP_16),
            "diffie-hellman-group18-sha512" => Group::of(&GROUP_18),
            _ => self.script.group.clone(),
        };
        let exchanges_groups = method == "diffie-hellman-group-exchange-sha256";
        assert_eq!(init[0], if exchanges_groups { KEX_DH_GEX_INIT } else { KEX_ECDH_INIT });
        let agreed = kex_server::agree(method, &group, theirs, &mut self.random);
        let plain = || self.script.host_key.public_blob().to_vec();
        let blob = self.script.certificate.clone().unwrap_or_else(plain);
        let mut hashed = Vec::new();
        for part in [
            self.version.as_deref().unwrap().as_bytes(),
            self.script.version.as_bytes(),
            &self.theirs,
            &self.ours,
            &blob,
        ] {
            hashed.put_string(part);
        }
        if exchanges_groups {
            for bits in [2048, self.preferred_group, 8192] {
                hashed.put_uint32(bits);
            }
            hashed.put_string(&group.prime);
            hashed.put_string(&group.generator);
        }
        hashed.put_string(theirs);
        hashed.put_string(&agreed.public);
        hashed.extend_from_slice(&agreed.shared);
        let hash = digest(kex_server::hash(method), &hashed);
        let algorithm = self.script.algorithm.trim_end_matches("-cert-v01@openssh.com");
        let signature = self.script.host_key.sign(algorithm, hash.as_ref()).unwrap();
        let mut reply = Reply { host_key: blob, point: agreed.public, signature };
        (self.script.forge)(&mut reply);
        let parts = [Text(&reply.host_key), Text(&reply.point), Text(&reply.signature)];
        let number = if exchanges_groups { KEX_DH_GEX_REPLY } else { KEX_ECDH_REPLY };
        self.send(&build(number, &parts));
        for payload in std::mem::take(&mut self.script.between) {
            self.send(&payload);
        }
        self.send(&[NEWKEYS]);

        let first = self.session.is_none();
        let session = self.session.get_or_insert_with(|| hash.as_ref().to_vec()).clone();
        let secrets = Secrets::from_parts(agreed.shared, hash, session);
        let protection = Protection::named(self.script.cipher, self.script.mac);
        let sealer = protection.sealer(&secrets, Direction::ToClient);
        let compression = compression(self.script.compression[1]);
        self.outbound.rekey(sealer, compression, self.script.strict);
        if self.script.strict {
            self.sequence = 0;
        }
        self.opener = Some(protection.opener(&secrets, Direction::ToServer));
        self.stage = Stage::Switched;
        if let Some(names) = self.script.sig_algs.filter(|_| first) {
            let parts = [Number(1), Text(b"server-sig-algs"), Text(names.as_bytes())];
            self.send(&build(EXT_INFO, &parts));
        }
        if let Some(answer) = self.postponed.take() {
            self.send(&answer);
        }
    }
}

fn compression(name: &str) -> Compression {
    Compression::ALL.into_iter().find(|(known, _)| *known == name).unwrap().1
}
