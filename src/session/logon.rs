//! Logging on: who the server is, then who we are.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use ssh_proto::key::{PrivateKey, PublicKey};
use ssh_proto::{Client, Event, Keepalive, Setup};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use super::dial::dial;
use super::question::{Asked, First, Prompting};
use super::trust::Verdict;
use super::{Error, HostKeyInfo, Target};

/// A logged-on session: the protocol's state and the socket that it lives on.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) stream: TcpStream,
}

/// Asks the owner about a host key; dropping the sender means no.
pub(crate) type Verify = dyn Fn(HostKeyInfo, oneshot::Sender<bool>) + Send + Sync;

/// Dials the server and logs on to it, within the target's time.
///
/// Before the host key is accepted, nothing about the user is sent. Dropping the future closes the
/// connection.
pub(crate) async fn open(
    target: Arc<Target>,
    verify: Arc<Verify>,
    prompt: Arc<Prompting>,
) -> Result<Session, Error> {
    let deadline = tokio::time::Instant::now() + target.ready_timeout;
    let logon = Logon { deadline, target, verify, prompt };
    let key = logon.private_key().await?;
    let known_key_types = logon.known_key_types().await?;
    let (host, port) = (logon.target.host.as_str(), logon.target.port);
    let stream = logon.within("a connection", dial(host, port)).await??;
    let credentials = ssh_proto::Credentials {
        user: logon.target.username.clone(),
        key,
        agent: logon.target.credentials.agent.is_some(),
        interactive: logon.target.credentials.interactive,
        password: logon.target.credentials.password.clone(),
        methods: logon.target.credentials.methods.clone(),
    };
    let setup = Setup {
        keepalive: logon
            .target
            .keepalive_interval
            .map(|interval| Keepalive { interval, count_max: logon.target.keepalive_count_max }),
        algorithms: logon.target.algorithms.clone(),
        known_key_types,
        rekey: logon.target.rekey,
        ..Setup::new(credentials)
    };
    let mut session = Session { client: Client::new(setup, random), stream };
    let outcome = logon.run(&mut session).await;
    if outcome.is_err() {
        // Tells the server why, if it can be told at once: nobody waits for it.
        let _ = session.stream.try_write(session.client.pending());
    }
    outcome.map(|()| session)
}

/// Random bytes from the kernel.
fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the kernel's random source does not fail once a system runs");
}

struct Logon {
    target: Arc<Target>,
    verify: Arc<Verify>,
    prompt: Arc<Prompting>,
    deadline: tokio::time::Instant,
}

impl Logon {
    /// Waits for `work` no longer than until the deadline.
    async fn within<T>(
        &self,
        step: &'static str,
        work: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let limit = || Error::Timeout {
            host: self.target.host.clone(),
            limit: self.target.ready_timeout.as_millis(),
            step,
        };
        // The clock is looked at only when the work is not done at once: a server that always has
        // something more to say would never be late.
        if tokio::time::Instant::now() >= self.deadline {
            return Err(limit());
        }
        timeout_at(self.deadline, work).await.map_err(|_| limit())
    }

    /// Reads the private key; an encrypted one takes time, so it is done off the runtime.
    async fn private_key(&self) -> Result<Option<PrivateKey>, Error> {
        let credentials = &self.target.credentials;
        let Some(text) = credentials.private_key.clone() else { return Ok(None) };
        let passphrase = credentials.passphrase.clone();
        let parsed = spawn_blocking(move || {
            PrivateKey::parse(&text, passphrase.as_deref().map(Vec::as_slice))
        });
        let parsed = self.within("the private key", parsed).await?;
        let parsed = parsed.map_err(|error| Error::PrivateKey(error.to_string()))?;
        parsed.map(Some).map_err(|error| Error::PrivateKey(error.to_string()))
    }

    /// Types of host keys that the files know of the server.
    async fn known_key_types(&self) -> Result<Vec<String>, Error> {
        let target = self.target.clone();
        let known = spawn_blocking(move || target.trust.known_types(&target.host, target.port));
        let known = self.within("the files of known hosts", known).await?;
        Ok(known.map_err(|error| Error::HostKey(error.to_string()))??)
    }

    async fn run(&self, session: &mut Session) -> Result<(), Error> {
        let mut asked = Asked::new(self.target.credentials.agent.clone(), self.prompt.clone());
        loop {
            while let Some(event) = session.client.next_event()? {
                match event {
                    Event::HostKey(key) => {
                        if let Err(refusal) = self.judge(key).await {
                            // Says the same without the details, which are for the user.
                            let _ = session.client.trust(false);
                            return Err(refusal);
                        }
                        session.client.trust(true)?;
                    }
                    Event::Asked(question) => asked.ask(question),
                    Event::Ready => return Ok(()),
                    Event::Opened(_)
                    | Event::OpenFailed { .. }
                    | Event::Data { .. }
                    | Event::Window(_)
                    | Event::Eof(_)
                    | Event::Close(_)
                    | Event::Rekeyed => unreachable!("there are no channels before the logon"),
                }
            }
            let step = session.client.waiting_for();
            // The server goes on meanwhile: it may lose its patience.
            match self.within(step, asked.first(exchange(session))).await? {
                First::Answered(answer) => asked.give(answer, &mut session.client)?,
                First::Other(received) => session.client.received(received?, Instant::now()),
            }
        }
    }

    /// Decides about the host key: by pins and files, and where they do not know, by the owner.
    async fn judge(&self, key: PublicKey) -> Result<(), Error> {
        let step = "the decision about the host key";
        let target = self.target.clone();
        let info = HostKeyInfo {
            host: target.host.clone(),
            port: target.port,
            key_type: key.key_type().to_owned(),
            key: key.blob().to_vec(),
            fingerprint: key.fingerprint(),
        };
        let judged = spawn_blocking(move || target.trust.judge(&target.host, target.port, &key));
        let judged = self.within(step, judged).await?;
        match judged.map_err(|error| Error::HostKey(error.to_string()))?? {
            Verdict::Trusted => Ok(()),
            Verdict::Refused(reason) => Err(Error::HostKey(reason)),
            Verdict::Ask => {
                let refused = Error::HostKey(format!(
                    "the host key of {} was refused by hostVerifier: {} {}",
                    info.host, info.key_type, info.fingerprint
                ));
                let (answer, decision) = oneshot::channel();
                (self.verify)(info, answer);
                let trusted = self.within(step, decision).await?.unwrap_or(false);
                if trusted { Ok(()) } else { Err(refused) }
            }
        }
    }
}

/// Sends what is pending, then receives something; an end of the connection is an error. Dropping
/// the future loses nothing.
async fn exchange(session: &mut Session) -> Result<usize, Error> {
    let waiting_for = session.client.waiting_for();
    let lost = |error: &io::Error| {
        Error::Disconnected(format!(
            "the connection broke while waiting for {waiting_for}: {error}"
        ))
    };
    while !session.client.pending().is_empty() {
        session.stream.writable().await.map_err(|error| lost(&error))?;
        match session.stream.try_write(session.client.pending()) {
            Ok(count) => session.client.sent(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(lost(&error)),
        }
    }
    loop {
        session.stream.readable().await.map_err(|error| lost(&error))?;
        match session.stream.try_read(session.client.space()) {
            Ok(0) => {
                return Err(Error::Disconnected(format!(
                    "the server closed the connection while we waited for {waiting_for}"
                )));
            }
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(lost(&error)),
        }
    }
}
