//! A stream through a program: ProxyCommand of ssh_config.

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
use crate::net::error_code::system_code;
use crate::net::sys;
use crate::runtime::cutoff::{CutoffWatch, before};
use crate::session::connect::bridge::{self, Bridge};
use crate::session::connect::transport::Stream;
use crate::session::{Error, LossReason};

/// Time for the program to exit after SIGHUP, before SIGKILL.
const EXIT_TIMEOUT: Duration = Duration::from_millis(500);
/// The same once the cutoff is reached.
const FINAL_EXIT_TIMEOUT: Duration = Duration::from_millis(50);

/// A command for the user's shell. It may contain secrets, so `Debug` does not print it.
pub struct ProxyCommand {
    /// The command with its tokens expanded.
    text: String,
    shell: String,
}

/// Values for the tokens of a command.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    /// `%h` and `%n`, which differ only where ssh_config gives a host another name.
    pub host: &'a str,
    /// `%p`.
    pub port: u16,
    /// `%r`.
    pub username: &'a str,
}

impl ProxyCommand {
    /// Expands the tokens of `text`; an error says what is wrong with it. The text may quote a
    /// token in any way, so names that a shell would interpret are refused.
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
                Some(token @ ('h' | 'n')) => {
                    let safe = for_shell(tokens.host);
                    let refused = |fault| format!("uses %{token}, but the host name {fault}");
                    expanded.push_str(safe.map_err(refused)?);
                }
                Some('p') => expanded.push_str(&tokens.port.to_string()),
                Some('r') => {
                    let safe = for_shell(tokens.username);
                    let refused = |fault| format!("uses %r, but the user name {fault}");
                    expanded.push_str(safe.map_err(refused)?);
                }
                Some(other) => return Err(format!("contains the unknown token %{other}")),
                None => return Err("ends with an incomplete token".into()),
            }
        }
        if expanded.contains('\0') {
            return Err("must not contain null bytes".into());
        }
        Ok(Self { text: expanded, shell })
    }

    /// Starts the command and returns a stream of its standard input and output. The program gets
    /// SIGHUP when the stream is dropped or `cutoff` is reached, and then SIGKILL if it does not
    /// exit.
    pub(crate) fn start(&self, address: &str, cutoff: CutoffWatch) -> Result<Stream, Error> {
        let (stream, theirs, bridge) = bridge::pair(address)?;
        let end = || theirs.try_clone().map(|end| Stdio::from(OwnedFd::from(end)));
        let failed = |error: io::Error| bridge::failed(&error, address);
        let mut command = Command::new(&self.shell);
        command.arg("-c").arg(format!("exec {}", self.text));
        command.stdin(end().map_err(failed)?).stdout(end().map_err(failed)?);
        command.stderr(standard_error());
        let child = command.spawn().map_err(|error| Error::Dial {
            syscall: "spawn",
            code: system_code(&error),
            errno: error.raw_os_error(),
            address: self.shell.clone(),
        })?;
        tokio::spawn(watch(child, theirs, bridge, cutoff));
        Ok(stream)
    }
}

impl std::fmt::Debug for ProxyCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxyCommand").finish_non_exhaustive()
    }
}

/// Waits for the program to exit. `end` is the program's end of the stream: it is held so that the
/// session sees the end of its stream only after the close reason was set, unless a descendant of
/// the program keeps it open.
async fn watch(mut child: Child, end: UnixStream, mut bridge: Bridge, mut cutoff: CutoffWatch) {
    let released = poll_fn(|cx| bridge.poll_released(cx));
    let over = async {
        let _ = before(cutoff.reached(), released).await;
    };
    let mut status = before(over, child.wait()).await;
    if status.is_none() {
        // It was not waited for, so its number was not reused.
        child.id().into_iter().for_each(sys::send_sighup);
        let grace = if cutoff.is_reached() { FINAL_EXIT_TIMEOUT } else { EXIT_TIMEOUT };
        status = timeout(grace, child.wait()).await.ok();
    }
    let status = match status {
        Some(status) => status,
        // An error means that it has exited.
        None => child.kill().await.and(child.wait().await),
    };
    let how = match status {
        Ok(status) => describe(status),
        Err(error) => format!("an unknown status: {error}"),
    };
    bridge.set_close_reason(Error::Disconnected {
        reason: Some(LossReason::Closed),
        text: format!("proxyCommand ended with {how}"),
    });
    drop(end);
}

/// Returns our standard error for the messages of the program. Node marks it as not to be
/// inherited.
fn standard_error() -> Stdio {
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
        assert_eq!(expand("nc %C", "db", "me"), Err("contains the unknown token %C".into()));
        assert_eq!(expand("nc %", "db", "me"), Err("ends with an incomplete token".into()));
        assert_eq!(expand("nc \0", "db", "me"), Err("must not contain null bytes".into()));
    }

    #[test]
    fn a_name_that_the_shell_would_interpret_is_refused_where_it_is_used() {
        for name in ["a;b", "$(id)", "a b", "a\nb", "`id`", "a'b", "a\"b", "a|b", "a\\b", "-oX"] {
            assert!(expand("nc %h", name, "me").is_err(), "{name}");
            assert!(expand("nc %n", name, "me").is_err(), "{name}");
            assert!(expand("nc %r", "db", name).is_err(), "{name}");
            assert_eq!(expand("nc gateway", name, name).as_deref(), Ok("nc gateway"));
        }
    }
}
