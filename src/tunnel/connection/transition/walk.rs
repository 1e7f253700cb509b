//! Every interleaving of what can happen to a connection, checked path by path.
//!
//! Paths that lead to the same [`World`] go on in the same way, so each world is looked at once and knows how many
//! paths lead to it. Nothing else is left out: acts that cannot happen in a world are none of its paths.

use std::collections::HashMap;
use std::time::Instant;

use super::*;

mod act;
mod effects;
mod table;
mod world;

use act::{Act, Setting, Why};
use world::{World, flow_of, is_waiting};

/// The length of the paths that are counted.
const LENGTH: usize = 7;

/// A connection in each of its states, with each Linger, as it comes to be there.
fn starts() -> Vec<World> {
    let phases = [
        Phase::Deferred,
        Phase::SocksHandshake,
        Phase::AwaitingApproval(Origin::Local),
        Phase::AwaitingApproval(Origin::Inbound),
        Phase::AwaitingSession,
        Phase::ConnectingTarget,
        Phase::Opening,
        Phase::Open(Flow::OPEN),
    ];
    // From an open connection to the states in which it is closed.
    let closed: [&[Act]; 6] = [
        &[Act::LocalData, Act::Disconnect],
        &[Act::LocalData, Act::LocalRst, Act::Wake],
        &[Act::Stall, Act::RemoteData, Act::RemoteClose],
        &[Act::LocalFin, Act::Read, Act::RemoteEof, Act::RemoteClose],
        &[Act::LocalFin, Act::Read, Act::RemoteClose],
        &[Act::Stall, Act::RemoteData, Act::SessionLost { comes_back: true }],
    ];
    let mut starts = Vec::new();
    for setting in Setting::ALL {
        for phase in phases {
            starts.push(World::new(phase, setting, false));
        }
        // A client of SOCKS that waits for the reply.
        for phase in
            [Phase::AwaitingApproval(Origin::Local), Phase::AwaitingSession, Phase::Opening]
        {
            starts.push(World::new(phase, setting, true));
        }
        for acts in closed {
            let open = World::new(Phase::Open(Flow::OPEN), setting, false);
            let world = acts.iter().fold(open, |world, act| world.after(*act));
            if world.phase != Phase::Ended {
                starts.push(world);
            }
        }
    }
    starts
}

/// What holds in every world.
fn check(world: &World) {
    let is_over = world.phase == Phase::Ended;
    assert_eq!(world.reports, u8::from(is_over), "one end, one report: {world:?}");
    assert_eq!(world.task.is_some(), matches!(world.phase, Phase::Closing(_)), "{world:?}");
    if let Some(flow) = flow_of(world.phase) {
        check_flow(world, flow);
    } else {
        assert_eq!(world.timed, is_waiting(world.phase), "{world:?}");
    }
    if world.phase == Phase::Closing(LingerTime::Unlimited) && world.setting == Setting::Bounded {
        // Both sides have ended by themselves.
        let completed = Some(Why::Reason(Reason::Completed));
        assert_eq!(world.task.map(|task| task.why), completed, "{world:?}");
    }
    if !is_over {
        check_ends(world);
    }
}

/// What holds as long as there is an open channel.
fn check_flow(world: &World, Flow { up, down }: Flow) {
    let is_open = matches!(world.phase, Phase::Open(_));
    let closes = up.is_over() && (!is_open || down != Down::Flowing);
    assert_eq!((world.eof, world.close), (up.is_over(), closes), "{world:?}");
    assert_eq!((up == Up::Ended, down != Down::Flowing), (world.fin_read, world.remote_eof));
    assert_eq!(down == Down::Finished, world.fin, "{world:?}");
    assert_eq!(world.timed, !is_open && world.setting == Setting::Bounded, "{world:?}");
    assert!(up.is_over() || !world.may_read() || world.queued, "nobody reads: {world:?}");
    match (world.phase, up) {
        (Phase::Draining(_), Up::Last(left)) => assert!(left <= world.unread.into(), "{world:?}"),
        (Phase::Draining(_), up) => assert_ne!(up, Up::Flowing, "{world:?}"),
        (Phase::PassingOn(_), _) => assert_eq!(world.buffer, 0, "{world:?}"),
        (_, up) => assert!(matches!(up, Up::Flowing | Up::Ended), "{world:?}"),
    }
}

/// What holds in every world that has not ended: it can be ended.
fn check_ends(world: &World) {
    // By its time, if it is being closed.
    if world.allows(Act::LingerExpires) && !is_waiting(world.phase) {
        assert_eq!(world.after(Act::LingerExpires).phase, Phase::Ended, "{world:?}");
    }
    // By force, as soon as the task that has the socket gives it back.
    let mut forced = world.after(Act::Force);
    if forced.phase == Phase::SocksAborted {
        forced = forced.after(Act::HandshakeDone { request: true });
    }
    assert_eq!((forced.phase, forced.reports), (Phase::Ended, 1), "{world:?}");
    // By the application, if the client reads and the server confirms our CLOSE.
    let mut closed = world.after(Act::Disconnect);
    for act in [
        Act::HandshakeDone { request: false },
        Act::Release,
        Act::Read,
        Act::Read,
        Act::Read,
        Act::RemoteClose,
        Act::TaskEnds,
    ] {
        if closed.allows(act) {
            assert!(act != Act::RemoteClose || closed.close, "nothing to confirm: {world:?}");
            closed = closed.after(act);
        }
    }
    assert_eq!((closed.phase, closed.reports), (Phase::Ended, 1), "{world:?}");
}

/// The worlds that paths of up to [`LENGTH`] events lead to, and the number of these paths.
#[derive(Default)]
struct Walk {
    /// By their numbers.
    worlds: Vec<World>,
    numbers: HashMap<World, u32>,
    /// The worlds after each event that can happen, of the worlds that paths go on from.
    next: Vec<Vec<u32>>,
}

impl Walk {
    fn number(&mut self, world: World) -> u32 {
        let Walk { worlds, numbers, .. } = self;
        *numbers.entry(world).or_insert_with(|| {
            check(&world);
            worlds.push(world);
            worlds.len() as u32 - 1
        })
    }

    /// Takes every step from the worlds that are known and were not left yet.
    fn advance(&mut self) {
        for number in self.next.len()..self.worlds.len() {
            let world = self.worlds[number];
            let acts = Act::ALL.into_iter().filter(|act| world.allows(*act));
            let next = acts.map(|act| self.number(world.after(act))).collect();
            self.next.push(next);
        }
    }

    /// How many paths of [`LENGTH`] events begin in each world; paths that end before count, too.
    fn count(&self) -> Vec<u64> {
        let mut paths = vec![1; self.worlds.len()];
        for _ in 0..LENGTH {
            let sum = |next: &Vec<u32>| next.iter().map(|to| paths[*to as usize]).sum::<u64>();
            let longer: Vec<_> = self.next.iter().map(|next| sum(next).max(1)).collect();
            paths[..longer.len()].copy_from_slice(&longer);
        }
        paths
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "`--nocapture` shows how much was walked")]
fn every_path_ends_once_with_every_byte_accounted_for() {
    let begun = Instant::now();
    let mut walk = Walk::default();
    let starts: Vec<_> = starts().into_iter().map(|world| walk.number(world)).collect();
    for _ in 0..LENGTH {
        walk.advance();
    }
    let paths = walk.count();
    let paths: u64 = starts.iter().map(|start| paths[*start as usize]).sum();
    let (worlds, time) = (walk.worlds.len(), begun.elapsed());
    println!("{paths} paths of {LENGTH} events through {worlds} worlds in {time:.1?}");
    assert!(paths > 100_000_000 && worlds > 50_000, "the model lost events");
}
