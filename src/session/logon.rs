//! Logging on: who the server is, then who we are.

use std::sync::Arc;

use ssh_proto::key::PublicKey;
use ssh_proto::{Client, Event, Identity, Keepalive, Setup};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use super::dial::dial;
#[cfg(unix)]
use super::dial::place;
#[cfg(unix)]
use super::hop;
use super::link::{Link, exchange};
use super::question::{Asked, First, Prompting};
use super::stream::Stream;
use super::trust::Verdict;
use super::{Error, HostKeyInfo, KeyFile, Route, Target};

/// Asks the owner about a host key; dropping the sender means no.
pub(crate) type Verify = dyn Fn(HostKeyInfo, oneshot::Sender<bool>) + Send + Sync;

/// Reaches the server and logs on to it, within the target's time.
///
/// Before the host key is accepted, nothing about the user is sent. Dropping the future closes the
/// connection.
pub(crate) async fn open(
    target: Arc<Target>,
    verify: Arc<Verify>,
    prompt: Arc<Prompting>,
) -> Result<Link, Error> {
    let deadline = tokio::time::Instant::now() + target.ready_timeout;
    log_on(Logon { deadline, target, verify, prompt }).await
}

async fn log_on(logon: Logon) -> Result<Link, Error> {
    let keys = logon.private_keys().await?;
    let known_key_types = logon.known_key_types().await?;
    let stream = logon.reach().await?;
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
        known_key_types,
        ..Setup::new(credentials)
    };
    let mut link = Link::new(Client::new(setup, random), stream);
    let outcome = logon.run(&mut link).await;
    if outcome.is_err() {
        // Tells the server why, if it can be told at once: nobody waits for it.
        link.try_flush();
    }
    outcome.map(|()| link)
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
        timeout_at(self.deadline, work).await.map_err(|_| Error::Timeout {
            host: self.target.host.clone(),
            limit: self.target.ready_timeout.as_millis(),
            step,
        })
    }

    /// Connects to the server.
    async fn reach(&self) -> Result<Stream, Error> {
        let Target { host, port, route, .. } = &*self.target;
        match route {
            Route::Direct(dialing) => {
                let dialed = self.within("a connection", dial(host, *port, dialing)).await?;
                dialed.map(Stream::from)
            }
            #[cfg(unix)]
            Route::Command(command) => command.start(&place(host, *port)),
            #[cfg(unix)]
            Route::Jump(hop) => {
                let place = place(&hop.host, hop.port);
                // Its own key, its own proofs; only the time and the one who is asked are ours.
                let logon = Logon {
                    target: hop.clone(),
                    verify: self.verify.clone(),
                    prompt: self.prompt.clone(),
                    deadline: self.deadline,
                };
                let at_hop = |error: Error| error.at_hop(place.clone());
                let link = Box::pin(log_on(logon)).await.map_err(at_hop)?;
                let through = hop::through(link, place.clone(), host, *port);
                self.within("the jump host to connect", through).await?.map_err(at_hop)
            }
        }
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

    /// Types of host keys that the files know of the server.
    async fn known_key_types(&self) -> Result<Vec<String>, Error> {
        let target = self.target.clone();
        let known = spawn_blocking(move || target.trust.known_types(&target.host, target.port));
        let known = self.within("the files of known hosts", known).await?;
        Ok(known.map_err(|error| Error::HostKey(error.to_string()))??)
    }

    async fn run(&self, link: &mut Link) -> Result<(), Error> {
        let mut asked = Asked::new(self.target.credentials.agent.clone(), self.prompt.clone());
        loop {
            while let Some(event) = link.client.next_event()? {
                match event {
                    Event::HostKey(key) => {
                        if let Err(refusal) = self.judge(key).await {
                            // Says the same without the details, which are for the user.
                            let _ = link.client.trust(false);
                            return Err(refusal);
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
                    | Event::Rekeyed => unreachable!("there are no channels before the logon"),
                }
            }
            let step = link.client.waiting_for();
            // The server goes on meanwhile: it may lose its patience.
            match self.within(step, asked.first(exchange(link, step))).await? {
                First::Answered(answer) => asked.give(answer, &mut link.client)?,
                First::Other(received) => received?,
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
            hop: target.hop,
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
