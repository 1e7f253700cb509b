//! What a worker reports to its supervisor around the beginning and the end of its session.

use ssh_proto::{Algorithms, Rekey, Windows};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;
use crate::session::{Credentials, Dialing, HostKeyInfo, Prompts, Responses, Route, Target, Trust};
use crate::tunnel::connection::meta::tests::pending;
use crate::tunnel::connection::relay::tests::client;
use crate::tunnel::pool::message::ConnectionCommand;
use crate::tunnel::{Config, Observer};

struct Ignore;

impl Observer for Ignore {
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

/// A worker that reports to the receiver.
fn worker() -> (WorkerParts, UnboundedReceiver<FromWorker>) {
    let (reports, events) = unbounded_channel();
    let send = move |event| drop(reports.send(event));
    let (messages, driver) =
        Driver::worker(Arc::new(config()), send, Arc::new(Ignore), Instant::now());
    ((messages, driver), events)
}

type WorkerParts = (UnboundedSender<ToWorker>, Driver);

#[test]
fn a_connection_that_reaches_a_lost_session_returns() {
    let ((_messages, mut driver), mut events) = worker();
    let (pending, _client) = runtime::handle().block_on(pending(1));
    let _runtime = runtime::handle().enter();
    driver.handle_message(ToWorker::Open(pending), Instant::now());
    assert!(matches!(events.try_recv(), Ok(FromWorker::Returned(pending)) if pending.meta.id == 1));

    // Until the supervisor handles that, its commands reach this worker, and return as well.
    let (reply, _pending) = crate::tunnel::pending::Pending::new();
    let command = ToWorker::Connection(1, ConnectionCommand::Close(reply));
    driver.handle_message(command, Instant::now());
    assert!(matches!(
        events.try_recv(),
        Ok(FromWorker::NoConnection(1, ConnectionCommand::Close(_)))
    ));
    assert!(events.try_recv().is_err());
}

#[test]
fn a_worker_that_is_shut_down_before_its_first_turn_reports_its_end() {
    let ((messages, mut driver), mut events) = worker();
    // A single thread: the worker begins when this task waits.
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let socket = TcpStream::connect(address).await.expect("connect");
        driver.begin_worker(Session::over(client(), socket));
        tokio::spawn(unconstrained(driver));
        messages.send(ToWorker::ShutDown("shutdown")).expect("the worker is there");
        drop(listener);
        let event = timeout(Duration::from_secs(10), events.recv()).await;
        assert!(matches!(event, Ok(Some(FromWorker::Exited))), "{event:?}");
    });
}
