//! The questions of keyboard-interactive (RFC 4256).

use zeroize::Zeroizing;

use crate::Error;
use crate::message::USERAUTH_INFO_RESPONSE;
use crate::text::lines;
use crate::wire::{Reader, Writer, message};

/// A server may ask so often within one attempt. Two factors take two or three rounds.
pub(super) const MOST_ROUNDS: usize = 32;
/// Questions in one round; forms have a handful, OpenSSH's server asks 256 at the most.
const MAX_PROMPTS: u32 = 256;

/// What a server asks in one round, for people to read: nothing but tabs and line feeds controls
/// anything in these texts, so that a terminal may show them. How long they are, the longest packet
/// bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompts {
    /// A title; often empty.
    pub name: String,
    /// An explanation; often empty.
    pub instruction: String,
    /// The language of the texts; nearly always empty.
    pub language: String,
    /// The questions, at least one.
    pub prompts: Vec<Prompt>,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// What is asked, such as `Password: `.
    pub text: String,
    /// Whether the answer may be seen while it is typed.
    pub echo: bool,
}

impl Prompts {
    /// SSH_MSG_USERAUTH_INFO_REQUEST:
    ///
    /// ```text
    /// string   name
    /// string   instruction
    /// string   language tag
    /// uint32   number of prompts, then for each of them
    /// string     prompt
    /// boolean    echo
    /// ```
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let name = text(reader)?;
        let instruction = text(reader)?;
        let language = text(reader)?;
        let count = reader.uint32()?;
        if count > MAX_PROMPTS {
            return Err(Error::Protocol("too many questions at once"));
        }
        let prompts = (0..count)
            .map(|_| Ok(Prompt { text: text(reader)?, echo: reader.boolean()? }))
            .collect::<Result<_, Error>>()?;
        Ok(Self { name, instruction, language, prompts })
    }

    /// Whether all that is asked is one thing that may not be seen: a password.
    pub(super) fn ask_for_password(&self) -> bool {
        matches!(self.prompts[..], [Prompt { echo: false, .. }])
    }
}

fn text(reader: &mut Reader<'_>) -> Result<String, Error> {
    Ok(lines(reader.string()?))
}

/// SSH_MSG_USERAUTH_INFO_RESPONSE: `uint32` number of answers, then each as a `string`.
pub(super) fn response(answers: &[Zeroizing<Vec<u8>>]) -> Zeroizing<Vec<u8>> {
    let mut payload = Zeroizing::new(message(USERAUTH_INFO_RESPONSE));
    // Room first: growing would leave a copy behind that nobody wipes.
    payload.reserve_exact(4 + answers.iter().map(|answer| 4 + answer.len()).sum::<usize>());
    payload.put_uint32(u32::try_from(answers.len()).expect("as many as there were questions"));
    for answer in answers {
        payload.put_string(answer);
    }
    payload
}
