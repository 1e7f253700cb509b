//! What a worker reports to its supervisor at the beginning and the end of its session.

use std::time::Duration;

use ssh_proto::{Algorithms, Rekey, Windows};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::oneshot;
use tokio::task::coop::unconstrained;
use tokio::time::timeout;

use super::*;
use crate::runtime;
use crate::session::{
    self, Application, Banner, Credentials, CredentialsRequest, Dialing, HostKeyInfo, Inquiry,
    LogSink, PendingCredentials, Responses, Route, SockStream, Trust, Verdict,
};
use crate::tunnel::connection::meta::tests::pending;
use crate::tunnel::connection::relay::tests::client;
use crate::tunnel::pending::Pending;
use crate::tunnel::pool::message::ConnectionCommand;

struct Ignore;

impl LogSink for Ignore {
    fn is_on(&self) -> bool {
        false
    }
    fn line(&self, _: String) {}
}

impl Observer for Ignore {
    fn event(&self, _: Event) {}
    fn decides_connections(&self) -> bool {
        false
    }
    fn is_behind(&self) -> bool {
        false
    }
}

impl Application for Ignore {
    fn verify_host_key(&self, _: HostKeyInfo, _: oneshot::Sender<Verdict>) {}
    fn answer(&self, _: Inquiry, _: oneshot::Sender<Responses>) {}
    fn credentials(&self, _: CredentialsRequest) -> PendingCredentials {
        Box::pin(std::future::pending())
    }
    fn stream(&self, _: oneshot::Sender<Result<SockStream, session::Error>>) {}
    fn banner(&self, _: Banner) {}
}

fn target() -> Arc<Target> {
    Arc::new(Target {
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
    })
}

#[test]
fn a_connection_that_reaches_a_lost_session_returns() {
    let mut worker = Worker::new(target());
    let (connection, _client) = runtime::handle().block_on(async { pending(1).await });
    worker.handle(ToWorker::Open(connection), Instant::now());
    let returned = worker.next_event();
    assert!(matches!(returned, Some(FromWorker::Returned(pending)) if pending.meta.id == 1));

    // Until the supervisor handles that, its commands reach this worker, and return as well.
    let (reply, _pending) = Pending::new();
    let command = ToWorker::Connection(1, ConnectionCommand::Close(reply));
    worker.handle(command, Instant::now());
    assert!(matches!(
        worker.next_event(),
        Some(FromWorker::NoConnection(1, ConnectionCommand::Close(_)))
    ));
    assert!(worker.next_event().is_none());
}

#[test]
fn a_worker_that_is_shut_down_before_its_first_turn_reports_its_end() {
    let (reports, mut events) = unbounded_channel();
    // A single thread: the worker begins when this task waits.
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let socket = TcpStream::connect(address).await.expect("connect");
        let session = Session::over(client(), socket);
        let (messages, inbox) = unbounded_channel();
        let report = move |event| drop(reports.send(event));
        let throughput = Arc::new(Throughput::new(Instant::now()));
        let task = Task::new(session, target(), inbox, report, Arc::new(Ignore), throughput);
        tokio::spawn(unconstrained(task));
        messages.send(ToWorker::ShutDown("shutdown")).expect("the worker is there");
        drop(listener);
        let exited = async {
            while let Some(event) = events.recv().await {
                if matches!(event, FromWorker::Exited) {
                    return true;
                }
            }
            false
        };
        assert_eq!(timeout(Duration::from_secs(10), exited).await, Ok(true));
    });
}
