//! Sessions played in memory: the client against a scripted server, without sockets or sleeps.
//!
//! Every test drives both sides until nothing is pending any more and then looks at what each of
//! them saw. Time is a value that the test moves, and randomness comes from a seed.

mod agreement;
mod authentication;
mod certificates;
mod channels;
mod compression;
mod damaged;
mod flow;
mod handshake;
mod host_keys;
mod hostile;
mod judge;
mod keepalive;
mod kex;
mod link;
mod logon;
mod messages;
mod misuse;
mod pair;
mod random;
mod rekey;
mod renewal;
mod server;
mod strict;
mod turmoil;
