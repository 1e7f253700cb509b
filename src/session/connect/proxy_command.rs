//! A stream through a program: ProxyCommand of ssh_config.

use std::future::{pending, poll_fn};
use std::io;
#[cfg(unix)]
use std::os::fd::AsFd;
#[cfg(unix)]
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::select;
use tokio::time::timeout;

use crate::names::for_shell;
use crate::net::error_code::system_code;
use crate::net::memory::End;
use crate::runtime::cutoff::{CutoffWatch, before};
use crate::session::connect::bridge::{self, Bridge};
use crate::session::connect::transport::Stream;
use crate::session::{Error, LossReason};

/// Time for the program to exit before it is killed.
const EXIT_TIMEOUT: Duration = Duration::from_millis(500);
/// The same once the cutoff is reached.
const FINAL_EXIT_TIMEOUT: Duration = Duration::from_millis(50);
/// Bytes of one read.
const READ_SIZE: usize = 64 * 1024;

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

    /// Starts the command and returns a stream of its standard input and output. The program is
    /// ended when the stream is dropped or `cutoff` is reached: on Unix it gets SIGHUP first. It is
    /// killed if it does not exit.
    pub(crate) fn start(&self, cutoff: CutoffWatch) -> Result<Stream, Error> {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(standard_error());
        let child = command.spawn().map_err(|error| Error::Dial {
            syscall: "spawn",
            code: system_code(&error),
            errno: error.raw_os_error(),
            address: self.shell.clone(),
        })?;
        let (stream, end, bridge) = bridge::pair();
        tokio::spawn(carry(child, end, bridge, cutoff));
        Ok(stream)
    }

    #[cfg(unix)]
    fn command(&self) -> Command {
        let mut command = Command::new(&self.shell);
        command.arg("-c").arg(format!("exec {}", self.text));
        command
    }

    /// Makes the command as Node.js does for a `shell`.
    #[cfg(windows)]
    fn command(&self) -> Command {
        let mut command = Command::new(&self.shell);
        let name = std::path::Path::new(&self.shell).file_name().unwrap_or_default();
        if name.eq_ignore_ascii_case("cmd") || name.eq_ignore_ascii_case("cmd.exe") {
            // cmd.exe removes the outer quotes, and takes what is between them as it is.
            command.raw_arg("/d /s /c").raw_arg(format!("\"{}\"", self.text));
        } else {
            command.arg("-c").arg(&self.text);
        }
        command
    }
}

impl std::fmt::Debug for ProxyCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxyCommand").finish_non_exhaustive()
    }
}

/// Moves the bytes and waits for the program to exit. The session reads the end of its stream only
/// after the close reason was set, and when no descendant of the program has its output any more.
async fn carry(mut child: Child, end: End, mut bridge: Bridge, mut cutoff: CutoffWatch) {
    let mut moving = pin!(move_bytes(&end, child.stdin.take(), child.stdout.take()));
    let mut moves = true;
    let (status, exited) = {
        let mut ending = pin!(async {
            match before(over(&mut bridge, &mut cutoff), child.wait()).await {
                Some(status) => (status, true),
                None => (hang_up(&mut child, &cutoff).await, false),
            }
        });
        loop {
            select! {
                biased;
                ended = &mut ending => break ended,
                () = &mut moving, if moves => moves = false,
            }
        }
    };
    let how = match status {
        Ok(status) => describe(status),
        Err(error) => format!("an unknown status: {error}"),
    };
    bridge.set_close_reason(Error::Disconnected {
        reason: Some(LossReason::Closed),
        text: format!("proxyCommand ended with {how}"),
    });
    if exited && moves {
        before(over(&mut bridge, &mut cutoff), moving).await;
    }
}

/// Completes when the stream is dropped or `cutoff` is reached.
async fn over(bridge: &mut Bridge, cutoff: &mut CutoffWatch) {
    let released = poll_fn(|cx| bridge.poll_released(cx));
    before(cutoff.reached(), released).await;
}

/// Ends the program, and waits until it has exited.
async fn hang_up(child: &mut Child, cutoff: &CutoffWatch) -> io::Result<ExitStatus> {
    // It was not waited for, so its number was not reused.
    #[cfg(unix)]
    child.id().into_iter().for_each(crate::net::sys::send_sighup);
    let grace = if cutoff.is_reached() { FINAL_EXIT_TIMEOUT } else { EXIT_TIMEOUT };
    match timeout(grace, child.wait()).await {
        Ok(status) => status,
        // An error means that it has exited.
        Err(_) => child.kill().await.and(child.wait().await),
    }
}

/// Moves bytes in both directions until the program has closed its output or the session its end.
async fn move_bytes(end: &End, input: Option<ChildStdin>, output: Option<ChildStdout>) {
    let up = async {
        if let Some(input) = input {
            send(end, input).await;
        }
        pending::<()>().await;
    };
    let down = async {
        if let Some(output) = output {
            receive(end, output).await;
        }
    };
    before(up, down).await;
}

/// Writes what the session sends to the program, and closes the input of the program at the end.
async fn send(end: &End, mut input: ChildStdin) {
    let mut buffer = vec![0; READ_SIZE];
    loop {
        poll_fn(|cx| end.poll_read_ready(cx)).await;
        let count = match end.try_read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Ok(count) if count > 0 => count,
            _ => return,
        };
        // A program that has closed its input goes on to send, or exits.
        if input.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Passes the program's output on to the session.
async fn receive(end: &End, mut output: ChildStdout) {
    let mut buffer = vec![0; READ_SIZE];
    while let Ok(count @ 1..) = output.read(&mut buffer).await {
        let mut bytes = &buffer[..count];
        while !bytes.is_empty() {
            poll_fn(|cx| end.poll_write_ready(cx)).await;
            match end.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

/// Returns our standard error for the messages of the program. Node marks it as not to be
/// inherited.
#[cfg(unix)]
fn standard_error() -> Stdio {
    io::stderr().as_fd().try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from)
}

/// Returns our standard error for the messages of the program.
#[cfg(windows)]
fn standard_error() -> Stdio {
    Stdio::inherit()
}

#[cfg(unix)]
fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(windows)]
fn describe(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit status {code}"))
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
        let expanded = expand("nc %h %p # %r %n 100%% %%h", "db", "me");
        assert_eq!(expanded.as_deref(), Ok("nc db 22 # me db 100% %h"));
        #[cfg(unix)]
        assert_eq!(expand("nc %h", "db%h", "me").as_deref(), Ok("nc db%h"));
        #[cfg(unix)]
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
