//! Streams of the application: it carries their bytes to the server.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::oneshot;

use crate::net::memory::End;
use crate::session::Error;
use crate::session::connect::bridge;
use crate::session::connect::transport::Stream;

/// Tells the application that a session needs a stream: the number of the question.
type Ask = Box<dyn Fn(u32) + Send + Sync>;

/// Asks the application for a stream to the server, anew for each connection.
#[derive(Default)]
pub struct Sock {
    ask: OnceLock<Ask>,
    questions: Mutex<Questions>,
}

#[derive(Default)]
struct Questions {
    /// The number of the last one.
    last: u32,
    /// Those without an answer.
    open: HashMap<u32, oneshot::Sender<Result<Stream, Error>>>,
}

impl Sock {
    /// Sets how the application is asked. It answers with [`Sock::attach`] or [`Sock::refuse`].
    pub(crate) fn set_ask(&self, ask: impl Fn(u32) + Send + Sync + 'static) {
        let _ = self.ask.set(Box::new(ask));
    }

    /// Asks for a stream, and waits for it.
    pub(crate) async fn connect(&self) -> Result<Stream, Error> {
        let (sender, answer) = oneshot::channel();
        let number = {
            let mut questions = self.questions();
            questions.open.retain(|_, sender| !sender.is_closed());
            questions.last = questions.last.wrapping_add(1);
            let number = questions.last;
            questions.open.insert(number, sender);
            number
        };
        if let Some(ask) = self.ask.get() {
            ask(number);
        }
        answer.await.unwrap_or_else(|_| Err(Error::Sock("it gave no stream".into())))
    }

    /// Answers a question with a stream: makes it, and returns the application's end. `None` if nothing
    /// waits for it any more.
    pub(crate) fn attach(&self, number: u32) -> Option<End> {
        let asked = self.questions().open.remove(&number)?;
        let (ours, theirs, _) = bridge::pair();
        asked.send(Ok(ours)).is_ok().then_some(theirs)
    }

    /// Answers a question with an error.
    pub(crate) fn refuse(&self, number: u32, error: Error) {
        if let Some(asked) = self.questions().open.remove(&number) {
            let _ = asked.send(Err(error));
        }
    }

    fn questions(&self) -> MutexGuard<'_, Questions> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Sock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sock").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::runtime;

    #[test]
    fn each_question_has_one_answer() {
        let sock = Arc::new(Sock::default());
        let (sender, mut asked) = tokio::sync::mpsc::unbounded_channel();
        sock.set_ask(move |number| sender.send(number).expect("the test listens"));
        runtime::handle().block_on(async {
            let begin = || {
                tokio::spawn({
                    let sock = sock.clone();
                    async move { sock.connect().await.map(drop) }
                })
            };
            let given = begin();
            let number = asked.recv().await.expect("asked");
            assert!(sock.attach(number).is_some());
            assert!(sock.attach(number).is_none());
            given.await.expect("no panic").expect("a stream");

            let refused = begin();
            let number = asked.recv().await.expect("asked");
            sock.refuse(number, Error::SockUsed);
            let error = refused.await.expect("no panic").expect_err("refused");
            assert_eq!(error.code(), "ERR_TUNNEL_SOCK_USED");

            let abandoned = begin();
            let number = asked.recv().await.expect("asked");
            abandoned.abort();
            assert!(abandoned.await.expect_err("aborted").is_cancelled());
            assert!(sock.attach(number).is_none());
        });
    }
}
