//! The prompts of a server.

use napi_derive::napi;

use crate::session;

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
