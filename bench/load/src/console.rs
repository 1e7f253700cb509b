//! Lines out and in: results on stdout, requests on stdin.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::thread;

use tokio::sync::mpsc::{self, Receiver};

/// Writes one line at once, also into a pipe.
pub(crate) fn say(line: fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// The lines of stdin. The channel closes when stdin does. The thread behind it does not hold up
/// the end of the process.
pub(crate) fn lines() -> Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Waits until stdin closes.
pub(crate) async fn closed() {
    let mut lines = lines();
    while lines.recv().await.is_some() {}
}
