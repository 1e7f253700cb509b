//! A server that is reached by a program: ProxyCommand of ssh_config.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::names::for_shell;
use crate::net::sys;
use crate::runtime::cutoff::{CutoffWatch, before};
use crate::session::connect::bridge::{self, Bridge};
use crate::session::connect::transport::Stream;
use crate::session::{Error, system_code};

/// How long a program may take to end after SIGHUP, before it gets SIGKILL.
const HANG_UP: Duration = Duration::from_millis(500);
/// The same when the limit for everything has passed.
const LAST_HANG_UP: Duration = Duration::from_millis(50);

/// A command for the user's shell. It may hold secrets: it is not printed.
pub struct ProxyCommand {
    /// With its tokens expanded.
    text: String,
    shell: String,
}

/// What a command's tokens stand for.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    /// `%h`, and `%n`, which differ only where a file of settings gives hosts other names.
    pub host: &'a str,
    /// `%p`.
    pub port: u16,
    /// `%r`.
    pub username: &'a str,
}

impl ProxyCommand {
    /// Expands the tokens of `text`; an error says what is wrong with it. Quoting is up to whoever
    /// wrote the text, so names that a shell would make something else of are refused.
    pub fn new(text: &str, tokens: Tokens<'_>, shell: String) -> Result<Self, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                expanded.push(character);
                continue;
            }
            match characters.next() {
                Some('%') => expanded.push('%'),
                Some('h' | 'n') => expanded.push_str(for_shell(tokens.host)?),
                Some('p') => expanded.push_str(&tokens.port.to_string()),
                Some('r') => expanded.push_str(for_shell(tokens.username)?),
                Some(other) => return Err(format!("knows no token %{other}")),
                None => return Err("ends in the middle of a token".into()),
            }
        }
        if expanded.contains('\0') {
            return Err("must not contain null bytes".into());
        }
        Ok(Self { text: expanded, shell })
    }

    /// Starts the command; the stream is its standard input and output. It gets SIGHUP when the stream
    /// is dropped or `cutoff` is reached, and SIGKILL if it does not end by that.
    pub(crate) fn start(&self, place: &str, cutoff: CutoffWatch) -> Result<Stream, Error> {
        let (stream, theirs, carrier) = bridge::pair(place)?;
        let end = || theirs.try_clone().map(|end| Stdio::from(OwnedFd::from(end)));
        let failed = |error: io::Error| bridge::failed(&error, place);
        let mut command = Command::new(&self.shell);
        command.arg("-c").arg(format!("exec {}", self.text));
        command.stdin(end().map_err(failed)?).stdout(end().map_err(failed)?);
        command.stderr(messages());
        let child = command.spawn().map_err(|error| Error::Dial {
            syscall: "spawn",
            code: system_code(&error),
            errno: error.raw_os_error(),
            address: self.shell.clone(),
        })?;
        tokio::spawn(watch(child, theirs, carrier, cutoff));
        Ok(stream)
    }
}

impl std::fmt::Debug for ProxyCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxyCommand").finish_non_exhaustive()
    }
}

/// Waits for the program's end. `end` is the program's end of the stream, held so that the session
/// sees the end of its stream only when it can be told why; unless a descendant of the program
/// lives on with it.
async fn watch(mut child: Child, end: UnixStream, mut carrier: Bridge, mut cutoff: CutoffWatch) {
    let released = poll_fn(|cx| carrier.poll_released(cx));
    let over = async {
        let _ = before(cutoff.reached(), released).await;
    };
    let mut status = before(over, child.wait()).await;
    if status.is_none() {
        // Its end was not collected: the number is its own.
        child.id().into_iter().for_each(sys::hang_up);
        let grace = if cutoff.is_reached() { LAST_HANG_UP } else { HANG_UP };
        status = timeout(grace, child.wait()).await.ok();
    }
    let status = match status {
        Some(status) => status,
        // A program that is gone needs no signal.
        None => child.kill().await.and(child.wait().await),
    };
    let how = match status {
        Ok(status) => describe(status),
        Err(error) => format!("an unknown status: {error}"),
    };
    carrier.tell(Error::Disconnected(format!("proxyCommand ended with {how}")));
    drop(end);
}

/// Where the program's messages go: with ours. Node lets no child inherit that by itself.
fn messages() -> Stdio {
    io::stderr().as_fd().try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from)
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str, host: &str, username: &str) -> Result<String, String> {
        let tokens = Tokens { host, port: 22, username };
        ProxyCommand::new(text, tokens, "/bin/sh".into()).map(|command| command.text)
    }

    #[test]
    fn tokens_are_expanded_once() {
        let expanded = expand("nc %h %p # %r %n 100%% %%h", "db%h", "me");
        assert_eq!(expanded.as_deref(), Ok("nc db%h 22 # me db%h 100% %h"));
        assert_eq!(expand("nc %h %p", "fe80::1%eth0", "me").as_deref(), Ok("nc fe80::1%eth0 22"));
        assert_eq!(expand("nc %C", "db", "me"), Err("knows no token %C".into()));
        assert_eq!(expand("nc %", "db", "me"), Err("ends in the middle of a token".into()));
        assert_eq!(expand("nc \0", "db", "me"), Err("must not contain null bytes".into()));
    }

    #[test]
    fn a_name_that_a_shell_would_act_on_is_refused_where_it_is_used() {
        for name in ["a;b", "$(id)", "a b", "a\nb", "`id`", "a'b", "a\"b", "a|b", "a\\b", "-oX"] {
            assert!(expand("nc %h", name, "me").is_err(), "{name}");
            assert!(expand("nc %n", name, "me").is_err(), "{name}");
            assert!(expand("nc %r", "db", name).is_err(), "{name}");
            assert_eq!(expand("nc gateway", name, name).as_deref(), Ok("nc gateway"));
        }
    }
}
