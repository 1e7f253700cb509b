//! What follows from a transition in the model, and what each end has to look like.

use super::act::{Setting, Why};
use super::table::{self, Ending};
use super::world::{Task, World, flow_of};
use crate::net::close::{CloseMode, CloseOutcome, Outcome};
use crate::session::Up;
use crate::tunnel::ClosedBy;
use crate::tunnel::connection::cause::Force;
use crate::tunnel::connection::phase::{
    Actions, CloseLimit, End, Event, Flow, LingerTime, Phase, Reason, Timer,
};
use crate::tunnel::connection::report::tests::report_of;
use crate::tunnel::connection::transition::step;

impl World {
    /// Tells the connection, and does what it asks for.
    pub(super) fn tell(&mut self, event: Event, given: Why) {
        let before = self.phase;
        let expected = table::ending(self, event, given);
        let hard = self.setting == Setting::Hard;
        let (next, actions) = step(before, self.setting.mode(), event);
        assert_eq!(actions.abort, before == Phase::SocksHandshake && next == Phase::SocksAborted);
        if actions.abort {
            self.first = Some(given);
        }
        // What waits for a client that has reset goes nowhere; a hard close delivers nothing.
        let drops = match expected {
            None => next != before && matches!(next, Phase::PassingOn(_)),
            Some(ending) => ending == Ending::Reset(Why::Reason(Reason::CutByRemote)) && hard,
        };
        let drops = drops && !matches!(before, Phase::PassingOn(_));
        assert_eq!(actions.drop_buffer, drops, "{event:?} in {before:?}");
        if actions.drop_buffer {
            (self.dropped, self.buffer) = (self.dropped + self.buffer, 0);
        }
        if actions.fin {
            assert_eq!(self.buffer, 0, "FIN before the last byte: {self:?}");
            assert!(self.remote_eof, "FIN without EOF: {self:?}");
            self.send_fin();
        }
        if actions.eof {
            assert!(self.unread == 0 || !self.flow().is_some_and(|it| it.up == Up::Flowing));
            self.eof = true;
        }
        self.close |= actions.close;
        self.queued |= actions.read;
        if let Phase::Closing(time) = before {
            self.check_time(time, next, event, actions);
        } else {
            match actions.timer {
                Timer::Keep => {}
                Timer::Stop => self.timed = false,
                Timer::Start => self.timed |= self.setting == Setting::Bounded,
                Timer::Restart => self.timed = self.setting == Setting::Bounded,
                Timer::Force => unreachable!("only a task is forced"),
            }
        }
        self.was_open |= matches!(next, Phase::Open(_));
        self.phase = next;
        // A channel goes with its session.
        if before == Phase::Opening || flow_of(before).is_some() {
            self.has_channel = self.has_session;
        }
        let Some(end) = actions.end else {
            assert_eq!(expected, None, "{event:?} in {before:?}");
            assert!(!actions.confirm);
            if matches!((before, next), (Phase::Open(_), Phase::Draining(_))) {
                self.first = Some(given);
            }
            return;
        };
        self.timed = end == End::Requeue;
        let flow = flow_of(before).unwrap_or(Flow::OPEN);
        let task = Task { mode: CloseMode::Fin, why: given, flow, forced: false, reads_on: false };
        let why = |reason| match (reason, before) {
            (Reason::Given, _) => given,
            (Reason::First, Phase::PassingOn(_)) => Why::Reason(Reason::ResetByLocal),
            (Reason::First, _) => self.first.expect("it was being closed"),
            (reason, _) => Why::Reason(reason),
        };
        let ending = Ending::of(end, why);
        assert_eq!(Some(ending), expected, "{event:?} in {before:?}");
        // The server may hold the last bytes of a client that has reset, until it confirms.
        let holds = ending == Ending::ResetNow(Why::Reason(Reason::ResetByLocal))
            && self.setting != Setting::Hard
            && !matches!(event, Event::RemoteClose { .. });
        assert_eq!(actions.confirm, holds, "{event:?} in {before:?}");
        match end {
            End::Requeue => assert_eq!(next, Phase::AwaitingSession),
            End::Refuse | End::Lose => {
                self.report(CloseOutcome::Reset, 0, Task { why: given, ..task });
            }
            End::Reply => self.task = Some(Task { why: given, reads_on: true, ..task }),
            End::Reset { reason, forced } => {
                let task = Task { why: why(reason), forced, ..task };
                let ended = if forced || event == Event::LingerExpired {
                    CloseOutcome::Cut
                } else {
                    CloseOutcome::Reset
                };
                assert_eq!(forced, matches!(event, Event::Force { .. }) && self.was_open);
                self.report(ended, self.buffer, task);
            }
            End::Close { mode, reason, limit } => {
                assert_eq!(limit, table::limit(self, why(reason)), "{event:?} in {before:?}");
                let expected = match limit {
                    CloseLimit::None => LingerTime::Unlimited,
                    CloseLimit::Linger | CloseLimit::Reading => LingerTime::Running,
                };
                assert_eq!(next, Phase::Closing(expected));
                let sent = matches!(mode, CloseMode::FinSent | CloseMode::ResetAfterFin);
                assert_eq!(sent, self.fin, "the mode knows whether FIN was sent: {self:?}");
                self.task = Some(Task { mode, why: why(reason), reads_on: true, ..task });
            }
            End::Report => unreachable!("the task ends by itself"),
        }
    }

    /// The socket is being closed in a task: compares its time with what the driver makes of the timer.
    fn check_time(&mut self, time: LingerTime, next: Phase, event: Event, actions: Actions) {
        let expected = table::time(self.setting, time, event);
        assert_eq!(next, Phase::Closing(expected), "{event:?}");
        let timer = match (event, expected == time) {
            (Event::Force { .. }, _) => &[Timer::Force][..],
            (Event::LingerChanged, _) if time != LingerTime::Over => &[Timer::Restart],
            (_, true) => &[Timer::Keep, Timer::Start],
            (_, false) => &[Timer::Start],
        };
        assert!(timer.contains(&actions.timer), "{event:?}");
        if let Some(task) = self.task.as_mut().filter(|_| actions.timer == Timer::Force) {
            task.forced = true;
        }
    }

    fn send_fin(&mut self) {
        assert!(!self.fin, "FIN twice: {self:?}");
        if self.was_open {
            assert!(!self.hard_closed, "FIN after a hard close: {self:?}");
            assert!(!self.cut, "FIN for a stream that was cut: {self:?}");
            assert_eq!(self.dropped, 0, "FIN for a stream with a gap: {self:?}");
        }
        self.fin = true;
    }

    /// The task that closes the socket ends: by itself, or because its time is `over`.
    pub(super) fn end_task(&mut self, over: bool) {
        let task = self.task.take().expect("a socket is being closed");
        let stuck = self.stalled && !self.client_rst;
        let ended = if self.client_rst {
            CloseOutcome::ByPeer
        } else if over && stuck {
            CloseOutcome::Cut
        } else {
            (self.delivered, self.buffer) = (self.delivered + self.buffer, 0);
            match task.mode {
                CloseMode::Fin => {
                    self.send_fin();
                    CloseOutcome::Fin
                }
                CloseMode::FinSent => CloseOutcome::Fin,
                CloseMode::Reset | CloseMode::ResetAfterFin => CloseOutcome::Reset,
            }
        };
        let (next, actions) = step(self.phase, self.setting.mode(), Event::SocketClosed);
        assert_eq!((next, actions.end), (Phase::Ended, Some(End::Report)));
        self.phase = next;
        self.report(ended, self.buffer, task);
    }

    /// The one report, compared with what both ends have seen.
    fn report(&mut self, ended: CloseOutcome, unsent: u8, task: Task) {
        assert!(
            !self.has_channel || !self.has_session || self.close,
            "a channel is left: {self:?}"
        );
        self.reports += 1;
        let numbers = [self.sent, self.received, self.dropped].map(u64::from);
        let linger = self.setting.linger();
        let mut report = report_of(linger, task.why.cause(), task.flow, numbers, self.was_open);
        if task.forced {
            report.force(Force::Shutdown);
        }
        let peer_finished = task.reads_on && self.client_fin && !self.client_rst;
        let (unsent, discarded) = (u64::from(unsent), u64::from(self.unread));
        let end = report.end(Outcome { ended, unsent, known: true, discarded, peer_finished });

        assert_eq!(end.bytes_up, u64::from(self.sent), "{self:?}");
        assert_eq!(end.bytes_up + end.dropped_up, u64::from(self.written), "{self:?}");
        assert_eq!(end.bytes_down, u64::from(self.delivered), "{self:?}");
        assert_eq!(end.bytes_down + end.dropped_down, u64::from(self.received), "{self:?}");
        let sees_fin = self.fin && ended != CloseOutcome::ByPeer;
        let closed_by = if sees_fin { ClosedBy::Graceful } else { ClosedBy::Reset };
        assert_eq!(end.closed_by, closed_by, "{self:?}");
        if end.clean {
            assert!(self.remote_eof && self.client_fin && !self.client_rst && !self.cut);
            assert_eq!((end.dropped_up, end.dropped_down), (0, 0));
        }
        assert!(!end.linger_expired || self.setting == Setting::Bounded, "{self:?}");
        assert_eq!(end.opened, self.was_open);
        assert!(!end.reason.is_empty() && !end.code.is_empty());
    }
}
