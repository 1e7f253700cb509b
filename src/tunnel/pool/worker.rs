//! One session of a tunnel that has several: a task like that of a tunnel with one, but without a
//! port and without a way back. Connections are handed to it; it tells what becomes of them.

use std::future::ready;
use std::sync::Arc;
use std::time::Instant;

use ssh_proto::ForwardEvent;
use tokio::sync::mpsc::{self, UnboundedSender, WeakUnboundedSender};
use tokio::sync::oneshot;
use tokio::task::coop::unconstrained;

use crate::runtime::WorkerSlot;
use crate::session::{self, HostKeyInfo, Prompts, Responses, Session};
use crate::tunnel::command::Command;
use crate::tunnel::connection::relay::PendingConnection;
use crate::tunnel::driver::Driver;
use crate::tunnel::pool::supervisor::Role;
use crate::tunnel::pool::throughput::Load;
use crate::tunnel::{Config, ConnectionEnd, Event, Observer, Settings, Shared};

/// What a member tells its tunnel, in the order in which it happens.
#[derive(Debug)]
pub(crate) enum WorkerEvent {
    /// The session is lost, which has carried data from a target or not. Its connections end; those
    /// that are not open yet come back.
    Lost { error: session::Error, served: bool },
    /// A connection that was not open yet, and needs another session.
    Back(PendingConnection),
    /// The server has said this about the forward with this number.
    Forward(i64, ForwardEvent),
    /// A connection has ended, and its owner was told.
    Ended(Box<ConnectionEnd>),
    /// A request for a connection that is not here any more.
    Unknown(Box<Command>),
    /// Nothing is left, neither connection nor session.
    Over,
}

/// What ties a member to its tunnel.
pub(crate) struct Worker {
    number: u32,
    /// Weak: a member does not keep its tunnel alive.
    tunnel: WeakUnboundedSender<Command>,
    observer: Arc<dyn Observer>,
    pub(crate) load: Load,
}

impl Worker {
    /// Starts the task of a session that is up, on the thread where it logged on: `place`, or else
    /// this one. It lives until the sender that is returned is
    /// dropped, which resets what is still there.
    pub(crate) fn start(
        number: u32,
        session: Session,
        place: Option<WorkerSlot>,
        config: Arc<Config>,
        observer: Arc<dyn Observer>,
        tunnel: WeakUnboundedSender<Command>,
        now: Instant,
    ) -> (UnboundedSender<Command>, Arc<Self>) {
        let (commands, received) = mpsc::unbounded_channel();
        let member = Arc::new(Self::new(number, tunnel, observer, now));
        // Its own: it binds no port, and whether the tunnel is ready is not for it to say.
        let shared = Arc::new(Shared::new(Settings::default()));
        let role = Role::Worker(member.clone());
        let sender = commands.downgrade();
        let mut driver = Driver::new(config, shared, member.clone(), received, sender, role);
        driver.logon = Some(Box::pin(ready(Ok(session))));
        driver.operations.session_wanted = true;
        // Its end is told also where it is to leave before it has taken up its session.
        driver.active = true;
        match place {
            Some(place) => place.spawn(driver),
            None => drop(tokio::spawn(unconstrained(driver))),
        }
        (commands, member)
    }

    pub(crate) fn new(
        number: u32,
        tunnel: WeakUnboundedSender<Command>,
        observer: Arc<dyn Observer>,
        now: Instant,
    ) -> Self {
        Self { number, tunnel, observer, load: Load::new(now) }
    }

    pub(crate) fn tell(&self, word: WorkerEvent) {
        if let Some(tunnel) = self.tunnel.upgrade() {
            // A tunnel that is gone has no use for it.
            let _ = tunnel.send(Command::Heard(self.number, word));
        }
    }
}

impl Driver {
    /// Opens a connection that another task has accepted.
    pub(crate) fn carry(&mut self, mut pending: PendingConnection, now: Instant) {
        pending.stream = pending.stream.moved_here();
        self.open(pending, now);
    }
}

impl Observer for Worker {
    fn event(&self, event: Event) {
        match event {
            Event::Connection(_) => self.observer.event(event),
            Event::Disconnected(end) => {
                let told = Box::new(end.clone());
                self.observer.event(Event::Disconnected(end));
                self.tell(WorkerEvent::Ended(told));
            }
            Event::Close => self.tell(WorkerEvent::Over),
            // It was up before it came here, its loss was told before its connections ended, and
            // all the rest is the tunnel's.
            Event::Ready
            | Event::Banner(_)
            | Event::Session { .. }
            | Event::Error(_)
            | Event::SessionError(_)
            | Event::ForwardError(..)
            | Event::Listening(_)
            | Event::ConnectionRequest(_)
            | Event::Reconnecting { .. } => {}
        }
    }

    fn decides_connections(&self) -> bool {
        self.observer.decides_connections()
    }

    fn is_behind(&self) -> bool {
        self.observer.is_behind()
    }

    fn verify_host_key(&self, key: HostKeyInfo, answer: oneshot::Sender<bool>) {
        self.observer.verify_host_key(key, answer);
    }

    fn answer_prompts(&self, prompts: Prompts, answer: oneshot::Sender<Responses>) {
        self.observer.answer_prompts(prompts, answer);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use ssh_proto::{Algorithms, Rekey, Windows};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::runtime::Builder;
    use tokio::sync::mpsc::UnboundedReceiver;
    use tokio::time::timeout;

    use super::*;
    use crate::runtime;
    use crate::session::{Credentials, Dialing, Route, Target, Trust};
    use crate::tunnel::connection::relay::tests::{client, connection};

    pub(crate) struct Nobody;

    impl Observer for Nobody {
        fn event(&self, _: Event) {}
        fn decides_connections(&self) -> bool {
            false
        }
        fn is_behind(&self) -> bool {
            false
        }
        fn verify_host_key(&self, _: HostKeyInfo, _: oneshot::Sender<bool>) {}
        fn answer_prompts(&self, _: Prompts, _: oneshot::Sender<Responses>) {}
    }

    fn config() -> Config {
        let target = Target {
            host: "gateway".into(),
            port: 22,
            route: Route::Direct(Dialing::default()),
            hop: None,
            username: "user".into(),
            credentials: Credentials::default(),
            trust: Trust::default(),
            algorithms: Algorithms::default(),
            ready_timeout: Duration::from_secs(20),
            keepalive_interval: None,
            keepalive_count_max: 3,
            rekey: Rekey::default(),
            windows: Windows::default(),
        };
        Config {
            target: Arc::new(target),
            reconnect: None,
            sessions: 2,
            forward: None,
            max_connections: None,
            reuse_port: false,
        }
    }

    /// A member whose session is lost, and what its tunnel hears of it.
    fn member() -> (Driver, UnboundedReceiver<Command>, [UnboundedSender<Command>; 2]) {
        let (tunnel, heard) = mpsc::unbounded_channel();
        let (commands, received) = mpsc::unbounded_channel();
        let member = Worker::new(7, tunnel.downgrade(), Arc::new(Nobody), Instant::now());
        let member = Arc::new(member);
        let shared = Arc::new(Shared::new(Settings::default()));
        let (sender, role) = (commands.downgrade(), Role::Worker(member.clone()));
        let driver = Driver::new(Arc::new(config()), shared, member, received, sender, role);
        (driver, heard, [tunnel, commands])
    }

    fn word(heard: &mut UnboundedReceiver<Command>) -> WorkerEvent {
        match heard.try_recv() {
            Ok(Command::Heard(7, word)) => word,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_comes_after_the_loss_of_the_session_goes_back() {
        let (mut driver, mut heard, _senders) = member();
        let (connection, _program) =
            runtime::handle().block_on(async { connection(&mut client()).await });
        let _runtime = runtime::handle().enter();
        driver.command(Command::Carry(connection.into_pending()), Instant::now());
        assert!(matches!(word(&mut heard), WorkerEvent::Back(pending) if pending.meta.id == 1));

        // The tunnel has not heard of that yet: its requests follow the connection.
        let (reply, _answer) = oneshot::channel();
        driver.command(Command::Disconnect(1, reply), Instant::now());
        assert!(matches!(
            word(&mut heard),
            WorkerEvent::Unknown(command) if matches!(*command, Command::Disconnect(1, _))
        ));
        assert!(heard.try_recv().is_err());
    }

    #[test]
    fn one_that_is_to_leave_before_its_first_turn_tells_its_end() {
        let (tunnel, mut heard) = mpsc::unbounded_channel();
        // One thread: the task begins when this one waits.
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
            let address = listener.local_addr().expect("address");
            let socket = TcpStream::connect(address).await.expect("connect");
            let session = Session::over(client(), socket);
            let (config, observer) = (Arc::new(config()), Arc::new(Nobody));
            let (tunnel, now) = (tunnel.downgrade(), Instant::now());
            let (commands, _) = Worker::start(7, session, None, config, observer, tunnel, now);
            commands.send(Command::Leave("shutdown")).expect("the task is there");
            drop(listener);
            let word = timeout(Duration::from_secs(10), heard.recv()).await;
            assert!(matches!(word, Ok(Some(Command::Heard(7, WorkerEvent::Over)))), "{word:?}");
        });
    }
}
