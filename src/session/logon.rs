//! Logging on: who the server is, then who we are.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use ssh_proto::key::HostKey;
use ssh_proto::{Client, Event, Identity, Keepalive, KnownKeys, Setup};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use super::dial::dial;
use super::link::Link;
use super::question::{Asked, First, Prompting};
use super::trust::Verdict;
use super::{Error, HostKeyInfo, KeyFile, Strictness, Target, Trust};

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
) -> Result<Link, Error> {
    let deadline = tokio::time::Instant::now() + target.ready_timeout;
    let logon = Logon { deadline, target, verify, prompt };
    let keys = logon.private_keys().await?;
    let known_keys = logon.known_keys().await?;
    let Target { host, port, dialing, .. } = &*logon.target;
    let stream = logon.within("a connection", dial(host, *port, dialing)).await??;
    let credentials = ssh_proto::Credentials {
        user: logon.target.username.clone(),
        keys,
        agent: logon.target.credentials.agent.is_some(),
        agent_keys: logon.target.credentials.agent_keys.clone(),
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
        known_keys,
        rekey: logon.target.rekey,
        ..Setup::new(credentials)
    };
    let mut link = Link::new(Client::new(setup, random), stream.into());
    let outcome = logon.run(&mut link).await;
    if outcome.is_err() {
        // Tells the server why, if it can be told at once: nobody waits for it.
        link.try_flush();
    }
    outcome.map(|()| link)
}

/// Random bytes from the kernel.
pub(super) fn random(bytes: &mut [u8]) {
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

    /// Reads the private keys; encrypted ones take time, so it is done off the runtime.
    async fn private_keys(&self) -> Result<Vec<Identity>, Error> {
        let target = self.target.clone();
        let read = spawn_blocking(move || {
            let files = &target.credentials.private_keys;
            let read = |(number, file): (usize, &KeyFile)| {
                file.identity().map_err(|why| match files.len() {
                    1 => why,
                    _ => format!("privateKey[{number}]: {why}"),
                })
            };
            files.iter().enumerate().map(read).collect::<Result<_, _>>()
        });
        let read = self.within("the private key", read).await?;
        read.map_err(|error| Error::PrivateKey(error.to_string()))?.map_err(Error::PrivateKey)
    }

    /// What the files know of the server's host keys.
    async fn known_keys(&self) -> Result<KnownKeys, Error> {
        self.with_files("the files of known hosts", |trust, host, port| {
            Ok(trust.known_keys(host, port)?)
        })
        .await
    }

    async fn run(&self, link: &mut Link) -> Result<(), Error> {
        let mut asked = Asked::new(self.target.credentials.agent.clone(), self.prompt.clone());
        loop {
            while let Some(event) = link.client.next_event()? {
                match event {
                    Event::HostKey(key) => {
                        let judged = self.judge(key).await.inspect_err(|_| {
                            // Says the same without the details, which are for the user.
                            let _ = link.client.trust(false);
                        })?;
                        if let Some(known) = judged {
                            link.client.learn_host_keys(known);
                        }
                        link.client.trust(true)?;
                    }
                    Event::Asked(question) => asked.ask(question),
                    Event::Ready => return Ok(()),
                    Event::Opened(_)
                    | Event::OpenFailed { .. }
                    | Event::Data { .. }
                    | Event::Window(_)
                    | Event::Eof(_)
                    | Event::Close(_)
                    | Event::HostKeys(_)
                    | Event::Rekeyed => unreachable!("there are no channels before the logon"),
                }
            }
            let step = link.client.waiting_for();
            // The server goes on meanwhile: it may lose its patience.
            match self.within(step, asked.first(exchange(link))).await? {
                First::Answered(answer) => asked.give(answer, &mut link.client)?,
                First::Other(received) => received?,
            }
        }
    }

    /// Decides about the host key: by pins and files, and where they do not know, by the strictness
    /// or the owner. Tells which keys the files know, if they may learn others.
    async fn judge(&self, key: HostKey) -> Result<Option<Vec<Vec<u8>>>, Error> {
        let step = "the decision about the host key";
        let plain = key.key().clone();
        let info = HostKeyInfo {
            host: self.target.host.clone(),
            port: self.target.port,
            key_type: plain.key_type().to_owned(),
            key: plain.blob().to_vec(),
            fingerprint: plain.fingerprint(),
        };
        let judged = self.with_files(step, move |trust, host, port| {
            let verdict = trust.judge(host, port, &key)?;
            Ok((verdict, trust.learnable(host, port, &key)?))
        });
        let (verdict, known) = judged.await?;
        let remember = match verdict {
            Verdict::Trusted => return Ok(known),
            Verdict::Refused(reason) => return Err(Error::HostKey(reason)),
            Verdict::Accepted { remember } => remember,
            Verdict::Ask { remember } => {
                let refused = Error::HostKey(format!(
                    "the host key of {} was refused by hostVerifier: {} {}",
                    info.host, info.key_type, info.fingerprint
                ));
                let (answer, decision) = oneshot::channel();
                (self.verify)(info, answer);
                let trusted = self.within(step, decision).await?.unwrap_or(false);
                if !trusted {
                    return Err(refused);
                }
                remember
            }
        };
        if remember {
            let record = move |trust: &Trust, host: &str, port| {
                trust.record(host, port, &plain).map_err(Error::from)
            };
            let recorded = self.with_files(step, record).await;
            // A key that is forgotten would be taken for new again, whichever it is then. Where any
            // key is taken, that makes no difference.
            if self.target.trust.strictness == Strictness::AcceptNew {
                recorded?;
            }
        }
        Ok(None)
    }

    /// Does something with the files of known hosts, on a thread that may block.
    async fn with_files<T: Send + 'static>(
        &self,
        step: &'static str,
        work: impl FnOnce(&Trust, &str, u16) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let target = self.target.clone();
        let done = spawn_blocking(move || work(&target.trust, &target.host, target.port));
        self.within(step, done).await?.map_err(|error| Error::HostKey(error.to_string()))?
    }
}

/// Sends what is pending, then receives something; an end of the connection is an error. Dropping
/// the future loses nothing.
async fn exchange(link: &mut Link) -> Result<(), Error> {
    let waiting_for = link.client.waiting_for();
    let lost = |error: io::Error| {
        Error::Disconnected(match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                format!("the server closed the connection while we waited for {waiting_for}")
            }
            _ => format!("the connection broke while waiting for {waiting_for}: {error}"),
        })
    };
    poll_fn(|cx| link.poll_flush(cx)).await.map_err(lost)?;
    poll_fn(|cx| link.poll_receive(cx, Instant::now())).await.map_err(lost)
}
