//! Logging on: who the server is, then who we are.

use std::sync::Arc;
use std::time::Instant;

use ssh_proto::key::HostKey;
use ssh_proto::{AlgorithmKind, Client, Event, Identity, Keepalive, KnownKeys, Setup};
use tokio::select;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::random::random;
use crate::runtime::cutoff::CutoffWatch;
use crate::runtime::timer::Deadline;
use crate::session::auth::responder::{Prompting, Responder};
use crate::session::connect::happy_eyeballs::dial;
#[cfg(unix)]
use crate::session::connect::happy_eyeballs::host_and_port;
#[cfg(unix)]
use crate::session::connect::jump;
use crate::session::connect::transport::Stream;
use crate::session::connection::{Session, exchange};
use crate::session::host_key::verify::HostKeyDecision;
use crate::session::{
    Banner, EncryptedSecret, Error, HostKeyInfo, HostKeyReason, HostKeyRefusal, KeyFile, Route,
    Strictness, Target, Trust,
};

/// Asks the owner about a host key; dropping the sender means no.
pub(crate) type Verify = dyn Fn(HostKeyInfo, oneshot::Sender<bool>) + Send + Sync;
/// Shows a server's banner; returns at once.
pub(crate) type Show = dyn Fn(Banner) + Send + Sync;

/// Reaches the server and logs on to it, within the target's time.
///
/// Before the host key is accepted, nothing about the user is sent. Dropping the future closes the
/// connection. At the limit of `carriers`, jump hosts and programs on the way end, whatever they
/// still do.
pub(crate) async fn connect(
    target: Arc<Target>,
    verify: Arc<Verify>,
    prompt: Arc<Prompting>,
    show: Arc<Show>,
    carriers: CutoffWatch,
) -> Result<Session, Error> {
    let begun = Instant::now();
    let deadline = &mut Deadline::after(target.ready_timeout);
    let mut session =
        connect_session(Logon { deadline, target, verify, prompt, show, carriers }).await?;
    session.connect_time = begun.elapsed();
    Ok(session)
}

async fn connect_session(mut logon: Logon<'_>) -> Result<Session, Error> {
    let keys = logon.private_keys().await?;
    let known_keys = logon.known_keys().await?;
    let stream = logon.reach().await?;
    let credentials = ssh_proto::Credentials {
        user: logon.target.username.clone(),
        keys,
        agent: logon.target.credentials.agent.is_some(),
        agent_keys: logon.target.credentials.agent_keys.clone(),
        interactive: logon.target.credentials.interactive,
        password: logon.target.credentials.password.as_ref().map(EncryptedSecret::open),
        methods: logon.target.credentials.methods.clone(),
        algorithms: Some(logon.target.algorithms.names(AlgorithmKind::PublicKey).to_vec()),
        rsa_bits: logon.target.trust.rsa_bits,
    };
    let setup = Setup {
        keepalive: logon
            .target
            .keepalive_interval
            .map(|interval| Keepalive { interval, count_max: logon.target.keepalive_count_max }),
        algorithms: logon.target.algorithms.clone(),
        known_keys,
        rekey: logon.target.rekey,
        windows: logon.target.windows,
        reply_timeout: logon.target.ready_timeout,
        ..Setup::new(credentials)
    };
    let mut session = Session::new(Client::new(setup, random), stream);
    match logon.run(&mut session).await {
        Ok(()) => Ok(session),
        Err(error) => {
            // Tells the server why, if it can be told at once: nobody waits for it.
            session.try_flush();
            Err(error.with_said(session.client.server_text()))
        }
    }
}

struct Logon<'a> {
    target: Arc<Target>,
    verify: Arc<Verify>,
    prompt: Arc<Prompting>,
    show: Arc<Show>,
    deadline: &'a mut Deadline,
    /// For whatever carries the connection.
    #[cfg_attr(not(unix), expect(dead_code, reason = "nothing but TCP carries it"))]
    carriers: CutoffWatch,
}

impl Logon<'_> {
    /// Waits for `work` no longer than until the deadline.
    async fn within<T>(
        &mut self,
        step: &'static str,
        work: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let outcome = self.deadline.within(work).await;
        outcome.ok_or_else(|| Error::Timeout {
            host: self.target.host.clone(),
            limit: self.target.ready_timeout.as_millis(),
            step,
        })
    }

    /// Connects to the server.
    async fn reach(&mut self) -> Result<Stream, Error> {
        let target = self.target.clone();
        let Target { host, port, route, .. } = &*target;
        match route {
            Route::Direct(dialing) => {
                let dialed = self.within("a connection", dial(host, *port, dialing)).await?;
                dialed.map(Stream::from)
            }
            #[cfg(unix)]
            Route::Command(command) => {
                command.start(&host_and_port(host, *port), self.carriers.clone())
            }
            #[cfg(unix)]
            Route::Sock(sock) => sock.take(&host_and_port(host, *port)),
            #[cfg(unix)]
            Route::Jump(hop) => {
                let address = host_and_port(&hop.host, hop.port);
                // Its own key, its own proofs; only the time and the one who is asked are ours.
                let logon = Logon {
                    target: hop.clone(),
                    verify: self.verify.clone(),
                    prompt: self.prompt.clone(),
                    show: self.show.clone(),
                    deadline: self.deadline,
                    carriers: self.carriers.clone(),
                };
                let at_hop = |error: Error| error.at_hop(address.clone());
                let session = Box::pin(connect_session(logon)).await.map_err(at_hop)?;
                let through = jump::through(session, hop, host, *port, self.carriers.clone());
                self.within("the jump host to connect", through).await?.map_err(at_hop)
            }
        }
    }

    /// Reads the private keys; encrypted ones take time, so it is done off the runtime.
    async fn private_keys(&mut self) -> Result<Vec<Identity>, Error> {
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
    async fn known_keys(&mut self) -> Result<KnownKeys, Error> {
        self.with_files("the files of known hosts", |trust, host, port| {
            Ok(trust.known_keys(host, port)?)
        })
        .await
    }

    async fn run(&mut self, session: &mut Session) -> Result<(), Error> {
        let agent = self.target.credentials.agent.clone();
        let mut responder = Responder::new(agent, self.prompt.clone());
        loop {
            while let Some(event) = session.client.next_event()? {
                match event {
                    Event::HostKey(key) => {
                        let judged = self.judge(key).await.inspect_err(|_| {
                            // Says the same without the details, which are for the user.
                            let _ = session.client.trust(false);
                        })?;
                        if let Some(known) = judged {
                            session.client.request_host_keys(known);
                        }
                        session.client.trust(true)?;
                    }
                    Event::Banner(banner) => (self.show)(Banner {
                        host: self.target.host.clone(),
                        port: self.target.port,
                        message: banner.message,
                        language: banner.language,
                    }),
                    Event::Question(question) => responder.ask(question),
                    Event::Ready => return Ok(()),
                    Event::Opened(_)
                    | Event::OpenFailed { .. }
                    | Event::Data { .. }
                    | Event::Window(_)
                    | Event::Eof(_)
                    | Event::Close(_)
                    | Event::HostKeys(_)
                    | Event::Forward(..)
                    | Event::Rekeyed => unreachable!("there are no channels before the logon"),
                }
            }
            let step = session.client.waiting_for();
            // The server may send something before there is an answer.
            let event = async {
                select! {
                    biased;
                    answer = responder.answer() => Ok(Some(answer)),
                    received = exchange(session, step) => received.map(|()| None),
                }
            };
            if let Some(answer) = self.within(step, event).await?? {
                responder.pass(answer, &mut session.client)?;
            }
        }
    }

    /// Decides about the host key: by pins and files, and where they do not know, by the strictness
    /// or the owner. Tells which keys the files know, if they may learn others.
    async fn judge(&mut self, key: HostKey) -> Result<Option<Vec<Vec<u8>>>, Error> {
        let step = "the decision about the host key";
        let plain = key.key().clone();
        let info = HostKeyInfo {
            host: self.target.host.clone(),
            port: self.target.port,
            hop: self.target.hop,
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
            HostKeyDecision::Trusted => return Ok(known),
            HostKeyDecision::Refused(refusal) => return Err(Error::HostKey(refusal)),
            HostKeyDecision::Accepted { remember } => remember,
            HostKeyDecision::Ask { remember } => {
                let refused = Error::HostKey(Box::new(HostKeyRefusal {
                    reason: HostKeyReason::Rejected,
                    text: format!(
                        "the host key of {} was refused by hostVerifier: {} {}",
                        info.host, info.key_type, info.fingerprint
                    ),
                    fingerprint: Some(info.fingerprint.clone()),
                    known: None,
                    line: None,
                }));
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
        &mut self,
        step: &'static str,
        work: impl FnOnce(&Trust, &str, u16) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let target = self.target.clone();
        let done = spawn_blocking(move || work(&target.trust, &target.host, target.port));
        let done = self.within(step, done).await?;
        done.map_err(|error| Error::HostKeyFile {
            text: error.to_string(),
            file: None,
            line: None,
        })?
    }
}
