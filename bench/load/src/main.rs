//! The traffic of the benchmark: what makes it, what serves it, and what bounds it.
//!
//! One binary with a command for each part. A command that measures prints one line of JSON on
//! stdout at its end; one that serves prints its ports as soon as it listens, and serves until
//! stdin closes. Exchanges that fail (refused, reset, too short, too long, without an end) are
//! counted in the result, the first one is named on stderr, and the process still ends with 0: it
//! ends with another status only when the command line is wrong or nothing could be measured.
//!
//! All commands share the machine with what they measure, so that each is one thread that moves
//! blocks of 256 KiB and looks at no byte.

mod alarm;
mod bulk;
mod console;
mod delay;
mod error;
mod first;
mod floor;
mod idle;
mod options;
mod port;
mod requests;
mod runtime;
mod samples;
mod serve;
mod short;
mod stream;
mod sys;

use std::env;
use std::process::ExitCode;

use error::Error;
use options::Options;

const HELP: &str = "\
usage: sshtunnel-load COMMAND [--option value]...

Targets and clients; every PORT is one of 127.0.0.1, times are microseconds unless named seconds
  serve      [--bind 127.0.0.1]
             targets, each on a port of its own, until stdin closes:
             {\"sink\",\"source\",\"echo\",\"answer\",\"close\",\"greet\",\"any\"};
             any is all of them: a client's PORT/sink, PORT/source .. says which; with PORT/take
             and PORT/give, bulk goes without ends of streams, for tunnels that lose them
  bulk       --direction up|down --port PORT [--connections 1] --bytes N
             --direction both --port-up PORT --port-down PORT [--connections 1] --bytes N
             N bytes per direction in all, to a sink or from a source:
             {\"bytes\",\"seconds\",\"failures\"[,\"up\",\"down\"]}
  requests   --port PORT --connections C --seconds S [--warmup 0.3] [--pause 0]
             1 KiB out and 1 KiB back, one at a time on each connection to answer, --pause
             milliseconds apart:
             {\"count\",\"seconds\",\"failures\",\"p50\",\"p99\",\"max\"}
  short      --port PORT --at-once C --count N [--pause 0]
             connect to close, 1 KiB out, 1 KiB back, wait for the end, and for
             --pause milliseconds:
             {\"count\",\"seconds\",\"failures\",\"p50\",\"p99\"}
  first      --port PORT [--speaker client|target] [--count 1]
             connect to echo, one byte out, one byte back, in series; or connect to greet, which
             speaks first:
             {\"count\",\"failures\",\"first\",\"p50\",\"p99\",\"max\"}
  idle       --port PORT --connections N [--at-once 64]
             opens N connections to echo: {\"open\",\"failures\"}; each line 'echo' on stdin has
             one byte echoed on all at once: {\"echoed\",\"seconds\",\"failures\"}

Bounds and lines; serve until stdin closes: {\"port\"}
  floor      --to HOST:PORT --role seal|open --cipher aes256gcm|aes128gcm|chacha20
             [--listen 0] [--low-water BYTES]
             the system calls and the cryptography of a tunnel's client side without SSH, in one
             thread, for one connection after the other: seal for 'bulk --direction up' with
             floor-peer sink behind it, open for 'bulk --direction down' with floor-peer source;
             --low-water has reads of the bulk wait for so much (SO_RCVLOWAT)
  floor-peer --role sink|source --cipher aes256gcm|aes128gcm|chacha20 [--listen 0]
             the stand-in of the SSH server: counts sealed bytes, or sends packets that were
             sealed ahead of time
  delay      --to HOST:PORT --ms MILLISECONDS [--listen 0]
             a line that adds so much each way, without a limit of bandwidth or queue; ends of
             streams and resets pass, connecting is not delayed

Clients take [--timeout 60]: seconds until an exchange without an end is a failure.";

fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    let command = words.next().unwrap_or_default();
    match run(&command, words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sshtunnel-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &str, words: impl Iterator<Item = String>) -> Result<(), Error> {
    let run = match command {
        "help" | "--help" => return Ok(console::say(format_args!("{HELP}"))?),
        "serve" => serve::run,
        "bulk" => bulk::run,
        "requests" => requests::run,
        "short" => short::run,
        "first" => first::run,
        "idle" => idle::run,
        "floor" => floor::run,
        "delay" => delay::run,
        "floor-peer" => floor::run_peer,
        other => return Err(Error::Usage(format!("'{other}' is not a command"))),
    };
    sys::raise_descriptor_limit()?;
    stream::prepare();
    run(Options::parse(words)?)
}
