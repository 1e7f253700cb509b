//! What the client cannot answer by itself while it logs on: the agent does, or the owner.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use ssh_proto::agent::AnswerError;
use ssh_proto::{Client, Prompts, Question};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::session::Error;
use crate::session::auth::agent::{Agent, AgentError};

/// The answers to the questions of a server, one for each of its prompts.
pub type Responses = Vec<Zeroizing<Vec<u8>>>;

/// Asks the owner what the server asks; dropping the sender gives up on it.
pub(crate) type Prompting = dyn Fn(Prompts, oneshot::Sender<Responses>) + Send + Sync;

/// An answer; the connection to the agent comes back with it, unless it broke.
pub(crate) enum Answer {
    Identities(Result<Vec<Vec<u8>>, String>, Option<Agent>),
    Signature(Result<Vec<u8>, String>, Option<Agent>),
    Responses(Option<Responses>),
}

type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What is being answered. A question that follows takes the place of the one before.
pub(crate) struct Asked {
    /// Where the agent listens.
    path: Option<String>,
    prompt: Arc<Prompting>,
    agent: Option<Agent>,
    answering: Option<Answering>,
}

/// What comes first.
pub(crate) enum First<T> {
    Answered(Answer),
    Other(T),
}

impl Asked {
    pub(crate) fn new(path: Option<String>, prompt: Arc<Prompting>) -> Self {
        Self { path, prompt, agent: None, answering: None }
    }

    pub(crate) fn ask(&mut self, question: Question) {
        let path = self.path.clone().unwrap_or_default();
        let agent = self.agent.take();
        self.answering = Some(match question {
            Question::Identities => Box::pin(async move {
                let (found, agent) =
                    with_agent(agent, &path, async |agent| agent.identities().await).await;
                Answer::Identities(found, agent)
            }),
            Question::Sign { key, algorithm, data } => Box::pin(async move {
                let sign = async |agent: &mut Agent| agent.sign(&key, algorithm, &data).await;
                let (made, agent) = with_agent(agent, &path, sign).await;
                Answer::Signature(made, agent)
            }),
            Question::Prompts(prompts) => {
                let (sender, given) = oneshot::channel();
                (self.prompt)(prompts, sender);
                Box::pin(async move { Answer::Responses(given.await.ok()) })
            }
        });
    }

    /// Waits for an answer, or for `other`, which is dropped if the answer comes first.
    pub(crate) async fn first<T>(&mut self, other: impl Future<Output = T>) -> First<T> {
        let mut other = pin!(other);
        poll_fn(|cx| {
            if let Some(answering) = &mut self.answering
                && let Poll::Ready(answer) = answering.as_mut().poll(cx)
            {
                self.answering = None;
                return Poll::Ready(First::Answered(answer));
            }
            other.as_mut().poll(cx).map(First::Other)
        })
        .await
    }

    /// Tells the client.
    pub(crate) fn give(&mut self, answer: Answer, client: &mut Client) -> Result<(), Error> {
        match answer {
            Answer::Identities(found, agent) => {
                self.agent = agent;
                client.identities(found)?;
            }
            Answer::Signature(made, agent) => {
                self.agent = agent;
                client.signature(made)?;
            }
            Answer::Responses(given) => client.responses(given.as_deref())?,
        }
        Ok(())
    }
}

/// Does `work` with the agent, dialed anew if there is no connection to it. One that failed is not
/// used again: nobody knows what is still to come from it.
async fn with_agent<T>(
    agent: Option<Agent>,
    path: &str,
    work: impl AsyncFnOnce(&mut Agent) -> Result<T, AgentError>,
) -> (Result<T, String>, Option<Agent>) {
    let dialed = match agent {
        Some(agent) => Ok(agent),
        None => Agent::connect(path).await,
    };
    let mut agent = match dialed {
        Ok(agent) => agent,
        Err(error) => return (Err(error.to_string()), None),
    };
    match work(&mut agent).await {
        Ok(value) => (Ok(value), Some(agent)),
        Err(error @ AgentError::Answer(AnswerError::Refused)) => {
            (Err(error.to_string()), Some(agent))
        }
        Err(error) => (Err(error.to_string()), None),
    }
}
