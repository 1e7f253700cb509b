//! What the application is asked for during authentication.

use napi_derive::napi;

use crate::session::{self, Subject};

/// A question about one server.
#[napi(object, object_from_js = false)]
pub struct Inquiry {
    /// The index of the jump host that it is about; without it, the tunnel's own server.
    pub hop: Option<u32>,
    /// The server's prompts.
    pub prompts: Option<Prompts>,
    /// The index of the private key that may be added to the agent. Without that and prompts, the
    /// user's password is asked for.
    pub key: Option<u32>,
}

/// The prompts of a server in one round.
#[napi(object, object_from_js = false)]
pub struct Prompts {
    /// A title.
    pub name: String,
    /// An explanation.
    pub instructions: String,
    /// The language of the texts.
    pub lang: String,
    /// The prompts.
    pub prompts: Vec<Prompt>,
}

/// One prompt.
#[napi(object, object_from_js = false)]
pub struct Prompt {
    /// The text.
    pub prompt: String,
    /// Whether the answer is shown while it is typed.
    pub echo: bool,
}

impl From<session::Inquiry> for Inquiry {
    fn from(inquiry: session::Inquiry) -> Self {
        let (prompts, key) = match inquiry.subject {
            Subject::Prompts(prompts) => (Some(prompts.into()), None),
            Subject::Password => (None, None),
            Subject::Key(number) => (None, Some(number as u32)),
        };
        Self { hop: inquiry.hop, prompts, key }
    }
}

impl From<session::Prompts> for Prompts {
    fn from(prompts: session::Prompts) -> Self {
        let each = prompts.prompts.into_iter();
        Self {
            name: prompts.name,
            instructions: prompts.instruction,
            lang: prompts.language,
            prompts: each
                .map(|session::Prompt { text, echo }| Prompt { prompt: text, echo })
                .collect(),
        }
    }
}
