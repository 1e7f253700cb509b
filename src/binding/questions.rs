//! The open questions of a tunnel to JavaScript.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::binding::lock;
use crate::net::memory::End;
use crate::session::{
    CredentialsAnswer, CredentialsFailure, Error, Responses, SockStream, Thrown, Verdict,
};
use crate::tunnel::Answer;

/// The answer to a question for credentials.
type Credentials = Result<CredentialsAnswer, CredentialsFailure>;

/// The answer to a question for a stream.
type GivenStream = Result<SockStream, Error>;

/// Questions that JavaScript has not answered. Of each, only the first answer counts.
#[derive(Default)]
pub(crate) struct Questions(Mutex<Open>);

#[derive(Default)]
struct Open {
    /// The number of the last question other than about a connection.
    last: u32,
    keys: HashMap<u32, oneshot::Sender<Verdict>>,
    inquiries: HashMap<u32, oneshot::Sender<Responses>>,
    credentials: HashMap<u32, oneshot::Sender<Credentials>>,
    streams: HashMap<u32, oneshot::Sender<GivenStream>>,
    /// By the connections' ids, until they are answered or the connection has ended.
    requests: HashMap<u64, Answer>,
}

impl Open {
    fn next(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1);
        self.last
    }
}

impl Questions {
    /// Adds a question of one kind; returns its number.
    fn ask<T>(
        &self,
        kind: fn(&mut Open) -> &mut HashMap<u32, oneshot::Sender<T>>,
        answer: oneshot::Sender<T>,
    ) -> u32 {
        let mut open = lock(&self.0);
        let number = open.next();
        let asked = kind(&mut open);
        asked.retain(|_, sender| !sender.is_closed());
        asked.insert(number, answer);
        number
    }

    /// Adds a question about a host key; returns its number.
    pub(crate) fn ask_about_key(&self, answer: oneshot::Sender<Verdict>) -> u32 {
        self.ask(|open| &mut open.keys, answer)
    }

    /// Adds a question with responses; returns its number.
    pub(crate) fn inquire(&self, answer: oneshot::Sender<Responses>) -> u32 {
        self.ask(|open| &mut open.inquiries, answer)
    }

    /// Adds a question for a stream; returns its number.
    pub(crate) fn ask_for_stream(&self, answer: oneshot::Sender<GivenStream>) -> u32 {
        self.ask(|open| &mut open.streams, answer)
    }

    /// Adds a question about a connection.
    pub(crate) fn ask_about_connection(&self, connection: u64, answer: Answer) {
        lock(&self.0).requests.insert(connection, answer);
    }

    /// Adds a question for credentials; returns its number, and its answer to come. `withdraw` is called
    /// with the number if nothing waits for the answer any more.
    pub(crate) fn ask_for_credentials(
        self: &Arc<Self>,
        withdraw: impl Fn(u32) + Send + Sync + 'static,
    ) -> (u32, Asked) {
        let (sender, answer) = oneshot::channel();
        let mut open = lock(&self.0);
        let number = open.next();
        open.credentials.insert(number, sender);
        let questions = self.clone();
        (number, Asked { number, answer, questions, withdraw: Box::new(withdraw) })
    }

    /// Answers about a host key.
    pub(crate) fn answer_host_key(&self, question: u32, trusted: bool, thrown: bool) {
        let asked = lock(&self.0).keys.remove(&question);
        if let Some(sender) = asked {
            // The receiver may have given up.
            let _ = sender.send(if thrown { Err(Thrown(question)) } else { Ok(trusted) });
        }
    }

    /// Gives responses, or gives up.
    pub(crate) fn answer_inquiry(&self, question: u32, responses: Option<Responses>) {
        let asked = lock(&self.0).inquiries.remove(&question);
        if let (Some(sender), Some(responses)) = (asked, responses) {
            let _ = sender.send(responses);
        }
    }

    /// Answers a question for credentials.
    pub(crate) fn answer_credentials(&self, question: u32, answer: Credentials) {
        let asked = lock(&self.0).credentials.remove(&question);
        if let Some(sender) = asked {
            let _ = sender.send(answer);
        }
    }

    /// Answers a question for a stream with one, and returns the application's end; `None` if nothing waits
    /// for it any more.
    pub(crate) fn attach_stream(&self, question: u32) -> Option<End> {
        let asked = lock(&self.0).streams.remove(&question)?;
        let (ours, theirs) = SockStream::pair();
        asked.send(Ok(ours)).is_ok().then_some(theirs)
    }

    /// Answers a question for a stream: the application threw, or has only the one that was used before.
    pub(crate) fn refuse_stream(&self, question: u32, thrown: Option<String>) {
        let asked = lock(&self.0).streams.remove(&question);
        if let Some(sender) = asked {
            let _ = sender.send(Err(match thrown {
                Some(text) => Error::Sock(text).caused_by(Some(Thrown(question))),
                None => Error::SockUsed,
            }));
        }
    }

    /// Answers about a connection.
    pub(crate) fn answer_request(&self, connection: u64, accepted: bool) {
        let asked = lock(&self.0).requests.remove(&connection);
        if let Some(answer) = asked {
            answer.send(accepted);
        }
    }

    /// Removes the question about a connection that has ended.
    pub(crate) fn connection_ended(&self, connection: u64) {
        let asked = lock(&self.0).requests.remove(&connection);
        drop(asked);
    }
}

/// The answer to a question for credentials. Dropped before it has come, it withdraws the question.
pub(crate) struct Asked {
    number: u32,
    answer: oneshot::Receiver<Credentials>,
    questions: Arc<Questions>,
    withdraw: Box<dyn Fn(u32) + Send + Sync>,
}

impl Future for Asked {
    type Output = Credentials;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Credentials> {
        let answer = Pin::new(&mut self.answer).poll(cx);
        answer.map(|answer| answer.unwrap_or_else(|_| Err(CredentialsFailure::unanswered())))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let asked = lock(&self.questions.0).credentials.remove(&self.number);
        // It was not answered.
        if asked.is_some() {
            (self.withdraw)(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_question_is_withdrawn_unless_it_was_answered() {
        let (questions, withdrawn) = (Arc::new(Questions::default()), Arc::new(AtomicU32::new(0)));
        let ask = || {
            let withdrawn = withdrawn.clone();
            questions.ask_for_credentials(move |number| withdrawn.store(number, Ordering::SeqCst))
        };
        let (number, asked) = ask();
        questions.answer_credentials(number, Ok(CredentialsAnswer::Password(None)));
        assert!(matches!(asked.await, Ok(CredentialsAnswer::Password(None))));
        let (number, asked) = ask();
        questions.answer_credentials(number, Ok(CredentialsAnswer::Password(None)));
        drop(asked);
        assert_eq!(withdrawn.load(Ordering::SeqCst), 0);
        let (number, asked) = ask();
        drop(asked);
        assert_eq!(withdrawn.load(Ordering::SeqCst), number);
        questions.answer_credentials(number, Ok(CredentialsAnswer::Password(None)));
    }

    #[tokio::test]
    async fn a_question_for_a_stream_has_one_answer() {
        let questions = Questions::default();
        let ask = || {
            let (sender, answer) = oneshot::channel();
            (questions.ask_for_stream(sender), answer)
        };
        let (number, answer) = ask();
        assert!(questions.attach_stream(number).is_some());
        assert!(questions.attach_stream(number).is_none());
        assert!(matches!(answer.await, Ok(Ok(_))));

        let (number, answer) = ask();
        questions.refuse_stream(number, None);
        assert!(matches!(answer.await, Ok(Err(Error::SockUsed))));

        let (number, answer) = ask();
        questions.refuse_stream(number, Some("no".into()));
        let Ok(Err(error)) = answer.await else { panic!("refused") };
        assert_eq!(
            (error.code().as_ref(), error.thrown()),
            ("ERR_TUNNEL_SOCK", Some(Thrown(number)))
        );

        let (number, answer) = ask();
        drop(answer);
        assert!(questions.attach_stream(number).is_none());
    }
}
