//! The server's side of authentication.

use super::messages::Part::{Flag, Number, Text};
use super::messages::build;
use super::server::Server;
use crate::key::PublicKey;
use crate::message::{
    USERAUTH_FAILURE, USERAUTH_METHOD_SPECIFIC, USERAUTH_REQUEST, USERAUTH_SUCCESS,
};
use crate::wire::{Reader, Writer};

/// The result of a request.
enum Outcome {
    Accepted,
    Refused,
    /// Another message is needed.
    Continue(Vec<u8>),
}

/// Returns the method of a USERAUTH_REQUEST, and whether it is signed.
pub(crate) fn method(payload: &[u8]) -> (&str, bool) {
    let mut reader = Reader::new(payload);
    assert_eq!(reader.byte(), Ok(USERAUTH_REQUEST));
    reader.text().unwrap();
    reader.text().unwrap();
    let method = reader.text().unwrap();
    (method, method == "publickey" && reader.boolean().unwrap())
}

impl Server {
    /// Returns the reply to USERAUTH_REQUEST; panics if it is malformed.
    pub(crate) fn reply_to_request(&mut self, payload: &[u8]) -> Vec<u8> {
        let (method, _) = method(payload);
        let turn = self.script.sequence.first();
        let outcome = match turn {
            Some(turn) if *turn != method => Outcome::Refused,
            _ => self.check(payload),
        };
        self.reply(outcome)
    }

    /// Returns the reply to USERAUTH_INFO_RESPONSE.
    pub(crate) fn reply_to_responses(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut reader = Reader::new(payload);
        reader.byte().unwrap();
        let asked = &self.script.rounds[self.round];
        assert_eq!(reader.uint32(), Ok(asked.len() as u32));
        let good = asked.iter().fold(true, |good, (_, answer)| {
            let given = reader.text().unwrap();
            good && given == *answer
        });
        assert_eq!(reader.remaining(), 0);
        self.round += 1;
        let outcome = if good { self.ask() } else { Outcome::Refused };
        self.reply(outcome)
    }

    fn reply(&mut self, outcome: Outcome) -> Vec<u8> {
        let good = match outcome {
            Outcome::Continue(message) => return message,
            Outcome::Accepted => true,
            Outcome::Refused => false,
        };
        let sequence = &mut self.script.sequence;
        if good && sequence.len() <= 1 {
            return vec![USERAUTH_SUCCESS];
        }
        if good {
            sequence.remove(0);
        }
        let methods = sequence.first().unwrap_or(&self.script.methods);
        build(USERAUTH_FAILURE, &[Text(methods.as_bytes()), Flag(good)])
    }

    /// Returns the next round of prompts, if there is one.
    fn ask(&self) -> Outcome {
        let Some(round) = self.script.rounds.get(self.round) else { return Outcome::Accepted };
        let mut parts = vec![Text(b"name"), Text(b"instruction"), Text(b"")];
        parts.push(Number(round.len() as u32));
        for (text, _) in round {
            parts.extend([Text(text.as_bytes()), Flag(text.starts_with("Name"))]);
        }
        Outcome::Continue(build(USERAUTH_METHOD_SPECIFIC, &parts))
    }

    fn check(&mut self, payload: &[u8]) -> Outcome {
        let outcome = |good| if good { Outcome::Accepted } else { Outcome::Refused };
        let mut reader = Reader::new(payload);
        reader.byte().unwrap();
        assert_eq!(reader.text(), Ok("ann"));
        assert_eq!(reader.text(), Ok("ssh-connection"));
        match reader.text().unwrap() {
            "publickey" => {
                let signed = reader.boolean().unwrap();
                let (algorithm, blob) = (reader.text().unwrap(), reader.string().unwrap());
                let covered = payload.len() - reader.remaining();
                let names = self.script.sig_algs;
                let takes = names.is_none_or(|names| names.split(',').any(|n| n == algorithm));
                let good = takes && self.script.user.as_deref() == Some(blob);
                if !signed {
                    assert_eq!(reader.remaining(), 0);
                    let parts = [Text(algorithm.as_bytes()), Text(blob)];
                    let message = build(USERAUTH_METHOD_SPECIFIC, &parts);
                    return if good { Outcome::Continue(message) } else { Outcome::Refused };
                }
                let mut data = Vec::new();
                data.put_string(self.session.as_deref().unwrap());
                data.extend_from_slice(&payload[..covered]);
                let signature = reader.string().unwrap();
                assert_eq!(reader.remaining(), 0);
                let key = PublicKey::parse(blob).unwrap();
                key.verify(algorithm, &data, signature).expect("the user's signature is good");
                outcome(good)
            }
            "password" => {
                assert_eq!(reader.boolean(), Ok(false));
                let password = reader.text().unwrap();
                assert_eq!(reader.remaining(), 0);
                outcome(self.script.password == Some(password))
            }
            "keyboard-interactive" => {
                assert_eq!((reader.text(), reader.text()), (Ok(""), Ok("")));
                assert_eq!(reader.remaining(), 0);
                self.round = 0;
                if self.script.rounds.is_empty() { Outcome::Refused } else { self.ask() }
            }
            "none" => Outcome::Refused,
            other => panic!("unknown method {other}"),
        }
    }
}
