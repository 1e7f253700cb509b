//! Connects a session: the stream, the host key, authentication.

use std::sync::Arc;
use std::time::Instant;

use ssh_proto::agent;
use ssh_proto::key::HostKey;
use ssh_proto::{AlgorithmKind, Client, Event, Keepalive, KnownKeys, Log, Setup, Windows};
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::random::random;
use crate::runtime::cutoff::CutoffWatch;
use crate::runtime::timer::Deadline;
use crate::session::auth::agent::Agent;
use crate::session::auth::credentials::{AgentSource, Credentials};
use crate::session::auth::key_file::GivenParts;
use crate::session::auth::responder::Responder;
use crate::session::connect::happy_eyeballs::dial;
use crate::session::connect::happy_eyeballs::host_and_port;
use crate::session::connect::jump;
use crate::session::connect::transport::Stream;
use crate::session::connection::{OpenEarly, Session, exchange};
use crate::session::host_key::verify::HostKeyDecision;
use crate::session::{
    Application, Banner, CredentialsAnswer, CredentialsFailure, CredentialsQuestion,
    CredentialsRequest, Dialing, Error, GivenKeys, HostKeyInfo, HostKeyReason, HostKeyRefusal,
    OfferedKey, Route, SockStream, Strictness, Subject, Target, Trust,
};

/// Connects to the server and authenticates, within the target's `ready_timeout`.
///
/// Nothing about the user is sent before the host key is accepted. Dropping the future closes the
/// connection. At the cutoff of `bridges`, jump hosts and programs on the route end.
pub(crate) async fn connect(
    target: Arc<Target>,
    windows: Windows,
    application: Arc<dyn Application>,
    open_early: Arc<OpenEarly>,
    bridges: CutoffWatch,
    log: Log,
) -> Result<Session, Error> {
    let begun = Instant::now();
    let deadline = &mut Deadline::after(target.ready_timeout);
    let connector = Connector { deadline, target, windows, application, open_early, bridges, log };
    let mut session = connect_session(connector).await?;
    session.connect_time = begun.elapsed();
    Ok(session)
}

async fn connect_session(mut connector: Connector<'_>) -> Result<Session, Error> {
    // The application is asked for its part when the host key is verified.
    let credentials = if connector.target.credentials.gives_keys {
        ssh_proto::Credentials::default()
    } else {
        connector.credentials(GivenKeys::default()).await?
    };
    let known_keys = connector.known_keys().await?;
    let stream = connector.connect_stream().await?;
    let setup = Setup {
        keepalive: connector.target.keepalive_interval.map(|interval| Keepalive {
            interval,
            count_max: connector.target.keepalive_count_max,
        }),
        algorithms: connector.target.algorithms.clone(),
        known_keys,
        rekey: connector.target.rekey,
        windows: connector.windows,
        reply_timeout: connector.target.ready_timeout,
        log: connector.server_log(),
        ..Setup::new(credentials)
    };
    let is_local = stream.is_local();
    let mut session = Session::new(Client::new(setup, random), stream);
    match connector.run(&mut session, is_local).await {
        Ok(()) => Ok(session),
        Err(error) => {
            // Tells the server why, if the socket takes it at once.
            session.try_flush();
            Err(error.with_banner(session.client.server_text()))
        }
    }
}

/// Connects to one server, or to one jump host on the route.
struct Connector<'a> {
    target: Arc<Target>,
    windows: Windows,
    application: Arc<dyn Application>,
    /// Log of the session, for all servers on the route.
    log: Log,
    open_early: Arc<OpenEarly>,
    deadline: &'a mut Deadline,
    /// Cutoff for the bridges of the route.
    bridges: CutoffWatch,
}

impl Connector<'_> {
    /// Returns the outcome of `work`, or the timeout error for `step`.
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

    /// Returns the log about this server.
    fn server_log(&self) -> Log {
        let server = host_and_port(&self.target.host, self.target.port);
        self.log.within(&format!("{server}: "))
    }

    /// Connects to a server or its proxy by TCP.
    async fn dial(
        &mut self,
        step: &'static str,
        host: &str,
        port: u16,
        dialing: &Dialing,
    ) -> Result<TcpStream, Error> {
        let log = self.server_log();
        log.write(|| "connects");
        let stream = self.within(step, dial(host, port, dialing)).await??;
        log.write(|| match (stream.local_addr(), stream.peer_addr()) {
            (Ok(local), Ok(remote)) => format!("connected to {remote} from {local}"),
            _ => "connected".to_owned(),
        });
        Ok(stream)
    }

    /// Connects the stream.
    async fn connect_stream(&mut self) -> Result<Stream, Error> {
        let target = self.target.clone();
        let Target { host, port, route, .. } = &*target;
        match route {
            Route::Direct(dialing) => {
                let dialed = self.dial("a connection", host, *port, dialing).await?;
                Ok(dialed.into())
            }
            Route::Proxy(dialing, proxy) => {
                let step = "a connection to the proxy";
                let mut stream = self.dial(step, &proxy.host, proxy.port, dialing).await?;
                self.server_log().write(|| "asks the proxy to connect");
                let asked = proxy.connect(&mut stream, host, *port);
                self.within("the proxy to connect", asked).await??;
                Ok(Stream::proxied(stream))
            }
            Route::Command(command) => {
                self.server_log().write(|| "starts the proxy command");
                command.start(self.bridges.clone())
            }
            Route::Sock => {
                self.server_log().write(|| "uses a stream of the application");
                let (sender, answer) = oneshot::channel();
                self.application.stream(sender);
                let given = self.within("options.sock to give a stream", answer).await?;
                let none = |_| Err(Error::Sock("it gave no stream".into()));
                given.unwrap_or_else(none).map(SockStream::into_stream)
            }
            Route::Jump(hop) => {
                let address = host_and_port(&hop.host, hop.port);
                self.server_log().write(|| format!("connects through the jump host {address}"));
                let to = target.clone();
                let open_early = move |client: &mut Client| {
                    vec![(jump::CHANNEL, jump::open(client, &to.host, to.port))]
                };
                // The hop has its own host key and credentials; deadline and application are shared.
                let connector = Connector {
                    target: hop.clone(),
                    windows: hop.windows,
                    application: self.application.clone(),
                    log: self.log.clone(),
                    open_early: Arc::new(open_early),
                    deadline: self.deadline,
                    bridges: self.bridges.clone(),
                };
                let at_hop = |error: Error| error.at_hop(address.clone());
                let session = Box::pin(connect_session(connector)).await.map_err(at_hop)?;
                let through = jump::through(session, hop, host, *port, self.bridges.clone());
                self.within("the jump host to connect", through).await?.map_err(at_hop)
            }
        }
    }

    /// Returns the credentials of the session, with what the application has given. Reads the private
    /// keys on a blocking thread, because decrypting takes time.
    async fn credentials(&mut self, mut given: GivenKeys) -> Result<ssh_proto::Credentials, Error> {
        let target = self.target.clone();
        let read = spawn_blocking(move || {
            target.credentials.identities(&mut given).map(|keys| (keys, given))
        });
        let read = self.within("the private key", read).await?;
        let (keys, given) = read
            .map_err(|error| Error::PrivateKey(error.to_string()))?
            .map_err(Error::PrivateKey)?;
        let target = &self.target;
        Ok(ssh_proto::Credentials {
            algorithms: Some(target.algorithms.names(AlgorithmKind::PublicKey).to_vec()),
            rsa_bits: target.trust.rsa_bits,
            ..target.credentials.for_session(&target.username, keys, given)
        })
    }

    /// Asks the application for the keys of this authentication.
    async fn given_credentials(&mut self) -> Result<ssh_proto::Credentials, Error> {
        let question = CredentialsQuestion::Keys;
        let request = CredentialsRequest { hop: self.target.hop, question };
        let asked = self.application.credentials(request);
        match self.within("the keys that the application gives", asked).await?? {
            CredentialsAnswer::Keys(given) => self.credentials(given).await,
            _ => Err(CredentialsFailure::unanswered().into()),
        }
    }

    /// Returns the types of the host keys that are known. They are not looked up where they change
    /// nothing, because a program of the user may have to be run for it.
    async fn known_keys(&mut self) -> Result<KnownKeys, Error> {
        if !self.target.algorithms.prefers_known_keys() {
            return Ok(KnownKeys::default());
        }
        self.with_files("the files of known hosts", |trust, host, port| {
            Ok(trust.known_keys(host, port)?)
        })
        .await
    }

    /// Exchanges keys, verifies the host key and authenticates.
    ///
    /// `is_local`: the server is at a loopback address.
    async fn run(&mut self, session: &mut Session, is_local: bool) -> Result<(), Error> {
        let mut responder = Responder::new(self.target.clone(), self.application.clone());
        let outcome = self.authenticate(session, &mut responder, is_local).await;
        outcome.map_err(|error| responder.explain(error))
    }

    async fn authenticate(
        &mut self,
        session: &mut Session,
        responder: &mut Responder,
        is_local: bool,
    ) -> Result<(), Error> {
        loop {
            while let Some(event) = session.client.next_event()? {
                match event {
                    Event::HostKey(key) => {
                        let known =
                            self.verify_host_key(key, is_local).await.inspect_err(|_| {
                                // Tells the server without the details, which are for the user.
                                let _ = session.client.trust(false);
                            })?;
                        if let Some(known) = known {
                            session.client.request_host_keys(known);
                        }
                        if self.target.credentials.gives_keys {
                            session.client.set_credentials(self.given_credentials().await?);
                        }
                        session.open_early(&*self.open_early);
                        session.client.trust(true)?;
                    }
                    Event::Banner(banner) => self.application.banner(Banner {
                        host: self.target.host.clone(),
                        port: self.target.port,
                        message: banner.message,
                        language: banner.language,
                    }),
                    Event::Question(question) => {
                        responder.ask(question, session.client.agent_binding());
                    }
                    Event::Ready => {
                        if let Some(password) = responder.take_password() {
                            self.target.credentials.keep_password(password);
                        }
                        self.add_keys(session.client.keys_for_agent(), responder).await;
                        return Ok(());
                    }
                    Event::Opened(_)
                    | Event::OpenFailed { .. }
                    | Event::Data { .. }
                    | Event::Window(_)
                    | Event::Eof(_)
                    | Event::Close(_)
                    | Event::HostKeys(_)
                    | Event::Forward(..)
                    | Event::Rekeyed => unreachable!("there are no channels before authentication"),
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

    /// Adds the private keys that have authenticated the user to the agent, if that is wanted and the
    /// application agrees. The session is up without that: a failure changes nothing.
    async fn add_keys(&mut self, keys: Vec<usize>, responder: &mut Responder) {
        let Credentials { agent, added_keys, .. } = &self.target.credentials;
        let (Some(AgentSource::Socket(path)), Some(constraints)) = (agent.clone(), *added_keys)
        else {
            return;
        };
        for number in keys {
            let answer = responder.inquire(Subject::Key(number));
            let target = self.target.clone();
            let path = &path;
            let added = async move {
                let comment = answer.await.ok()?.pop()?;
                // Reading a key takes time.
                let made = spawn_blocking(move || {
                    let given = GivenParts::default();
                    let identity =
                        target.credentials.private_keys.get(number)?.identity(&given).ok()?;
                    agent::request_addition(&identity, &comment, constraints).ok()
                });
                let request = made.await.ok()??;
                Agent::connect(path).await.ok()?.add(&request).await.ok()
            };
            let _ = self.within("the agent to take the key", added).await;
        }
    }

    /// Verifies the host key by pins and files, then by the strictness or the application. Returns
    /// the keys that the files have, if other keys of the host may be added.
    async fn verify_host_key(
        &mut self,
        key: HostKey,
        is_local: bool,
    ) -> Result<Option<Vec<Vec<u8>>>, Error> {
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
        let log = self.server_log();
        let (key_type, fingerprint) = (info.key_type.clone(), info.fingerprint.clone());
        let note = |decision: &str| {
            log.write(|| format!("host key: {key_type} {fingerprint}, {decision}"));
        };
        let verified = self.with_files(step, move |trust, host, port| {
            let decision = if is_local {
                trust.verify_local(host, port, &key)?
            } else {
                trust.verify(host, port, &key)?
            };
            Ok((decision, trust.updatable_keys(host, port, &key)?))
        });
        let (decision, known) = verified.await?;
        let remember = match decision {
            HostKeyDecision::Trusted => {
                note("trusted");
                return Ok(known);
            }
            HostKeyDecision::Refused(refusal) => {
                note("refused");
                return Err(Error::HostKey(refusal));
            }
            HostKeyDecision::Accepted { remember } => {
                note("unknown, accepted");
                remember
            }
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
                    offered: Some(OfferedKey {
                        host: info.host.clone(),
                        port: info.port,
                        name: self.target.trust.names(&info.host, info.port).full,
                        key_type: info.key_type.clone(),
                        line: plain.line(),
                    }),
                }));
                let (sender, answer) = oneshot::channel();
                note("unknown, hostVerifier is asked");
                self.application.verify_host_key(info, sender);
                let verdict = self.within(step, answer).await?.unwrap_or(Ok(false));
                let trusted = verdict == Ok(true);
                note(if trusted { "accepted by hostVerifier" } else { "refused by hostVerifier" });
                match verdict {
                    Ok(true) => {}
                    Ok(false) => return Err(refused),
                    Err(thrown) => return Err(refused.caused_by(Some(thrown))),
                }
                remember
            }
        };
        if remember {
            let write = move |trust: &Trust, host: &str, port| {
                trust.write(host, port, &plain).map_err(Error::from)
            };
            let written = self.with_files(step, write).await;
            // Without the line, `AcceptNew` would accept any other key next time. The looser
            // settings accept it anyway.
            if self.target.trust.strictness == Strictness::AcceptNew {
                written?;
            }
        }
        Ok(None)
    }

    /// Calls `work` on a blocking thread, because it reads or writes files of host keys.
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
