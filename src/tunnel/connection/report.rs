//! The report of a connection that has ended.

use crate::net::close::{CloseOutcome, Outcome};
use crate::net::linger::{Linger, LingerMode};
use crate::session::{Down, Up};
use crate::tunnel::connection::cause::{Cause, Force};
use crate::tunnel::connection::meta::Meta;
use crate::tunnel::connection::relay::Relay;
use crate::tunnel::{ClosedBy, ConnectionEnd};

/// The facts about a connection that leaves its channel; with the outcome of its socket they make the
/// report.
pub(crate) struct Report {
    id: u64,
    forward: i64,
    cause: Cause,
    linger: Linger,
    sent: u64,
    received: u64,
    dropped: u64,
    /// Received bytes that the local client's kernel is known to have acknowledged.
    acknowledged: u64,
    up: Up,
    down: Down,
    opened: bool,
    /// The forced shutdown that resets it, unless it ends by itself in the same moment.
    force: Option<Force>,
}

impl Report {
    pub(crate) fn set_linger(&mut self, linger: Linger) {
        self.linger = linger;
    }

    pub(crate) fn force(&mut self, force: Force) {
        self.force = Some(force);
    }

    /// Whether the connection was open from end to end.
    pub(crate) fn opened(&self) -> bool {
        self.opened
    }

    /// The report of a connection that was never open.
    pub(crate) fn unopened(meta: &Meta, cause: Cause) -> Self {
        Self {
            id: meta.id,
            forward: meta.forward,
            cause,
            linger: meta.settings.linger,
            sent: 0,
            received: 0,
            dropped: 0,
            acknowledged: 0,
            up: Up::Flowing,
            down: Down::Flowing,
            opened: false,
            force: None,
        }
    }

    /// The report of a connection with a channel, which was open if it has both ends.
    pub(crate) fn of(meta: &Meta, relay: &Relay, cause: Cause) -> Self {
        if !relay.has_both_ends() {
            return Self::unopened(meta, cause);
        }
        Self {
            sent: relay.pump.sent,
            received: relay.pump.received,
            dropped: relay.pump.dropped,
            acknowledged: relay.pump.known_acknowledged(),
            up: relay.pump.up,
            down: relay.pump.down,
            opened: true,
            ..Self::unopened(meta, cause)
        }
    }

    /// The report, with what became of the socket.
    pub(crate) fn end(self, outcome: Outcome) -> ConnectionEnd {
        // Before it was open, a SOCKS reply was all that was sent to the local client, and nothing came
        // from the remote end.
        let lost_down = if self.opened { self.dropped + outcome.unsent } else { 0 };
        let rest = self.received.saturating_sub(lost_down);
        let unconfirmed_down =
            if outcome.known { 0 } else { rest.saturating_sub(self.acknowledged) };
        let whole = lost_down == 0 && outcome.discarded == 0;
        let remote_ended = self.down != Down::Flowing;
        let both_ended = remote_ended && (self.up == Up::Ended || outcome.peer_finished);
        let finished = outcome.ended == CloseOutcome::Fin;
        let cut = outcome.ended == CloseOutcome::Cut;
        let cause = match self.cause {
            // Some servers close the channel together with their end of stream. That is a clean end if
            // the local client had nothing more to send.
            Cause::ClosedByRemote if both_ended && whole && finished => Cause::Completed,
            Cause::Completed if cut => Cause::CutByApplication,
            Cause::Completed
            | Cause::ClosedByRemote
            | Cause::CutByRemote
            | Cause::Application(_)
                if outcome.ended == CloseOutcome::ByPeer =>
            {
                Cause::ResetByLocal
            }
            cause => cause,
        };
        // The stream had ended before the reset, and all of it had left: what the local client reads ends
        // with the end of stream, only what it writes fails.
        let had_fin = self.down == Down::Finished && outcome.unsent == 0 && unconfirmed_down == 0;
        let graceful = match outcome.ended {
            CloseOutcome::Fin => true,
            CloseOutcome::Reset | CloseOutcome::Cut => had_fin,
            CloseOutcome::ByPeer => false,
        };
        let clean = finished
            && both_ended
            && whole
            && unconfirmed_down == 0
            && matches!(cause, Cause::Completed | Cause::Application(_) | Cause::Idle);
        let ending = self.linger.mode();
        let force = self.force.filter(|_| cut);
        let linger_expired = cut && force.is_none() && matches!(ending, LingerMode::Bounded(_));
        let mut reason = cause.reason();
        if linger_expired {
            reason.to_mut().push_str("; its linger time ran out");
        }
        if let Some(force) = force {
            reason.to_mut().push_str(force.reason());
        }
        ConnectionEnd {
            id: self.id,
            forward: self.forward,
            code: cause.code(!self.opened || cut || ending == LingerMode::Hard),
            reason,
            description: cause.description().map(str::to_owned),
            opened: self.opened,
            clean,
            closed_by: if graceful { ClosedBy::Graceful } else { ClosedBy::Reset },
            bytes_up: self.sent,
            bytes_down: rest - unconfirmed_down,
            dropped_up: outcome.discarded,
            dropped_down: lost_down,
            unconfirmed_down,
            linger: self.linger,
            linger_expired,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use ssh_proto::OpenFailure;

    use super::*;
    use crate::session;
    use crate::tunnel::connection::phase::Flow;

    const FIN: Outcome = Outcome {
        ended: CloseOutcome::Fin,
        unsent: 0,
        known: true,
        discarded: 0,
        peer_finished: true,
    };
    /// As above, of a peer that never ended its own direction.
    const FIN_ONLY: Outcome = Outcome { peer_finished: false, ..FIN };
    const RESET: Outcome = Outcome { ended: CloseOutcome::Reset, ..FIN_ONLY };
    const CUT: Outcome = Outcome { ended: CloseOutcome::Cut, ..FIN_ONLY };
    const BY_PEER: Outcome = Outcome { ended: CloseOutcome::ByPeer, ..FIN_ONLY };

    /// A connection whose counts are those of bytes sent, received and dropped.
    pub(crate) fn report_of(
        linger: Linger,
        cause: Cause,
        Flow { up, down }: Flow,
        [sent, received, dropped]: [u64; 3],
        opened: bool,
    ) -> Report {
        let (id, forward, force, acknowledged) = (7, 3, None, 0);
        Report {
            id,
            forward,
            cause,
            linger,
            sent,
            received,
            dropped,
            acknowledged,
            up,
            down,
            opened,
            force,
        }
    }

    /// An open graceful connection that has moved 100 bytes up and 1000 down.
    fn report(cause: Cause, up: Up, down: Down) -> Report {
        report_of(Linger::GRACEFUL, cause, Flow { up, down }, [100, 1000, 0], true)
    }

    fn refused(reason: OpenFailure) -> Cause {
        Cause::Refused(reason, "no".into())
    }

    fn lost() -> Cause {
        Cause::SessionLost(session::Error::no_session())
    }

    #[test]
    fn each_cause_and_each_outcome() {
        use ClosedBy::{Graceful, Reset};
        let (application, remote) = (Cause::Application("disconnect"), Cause::ClosedByRemote);
        let open = (Up::Flowing, Down::Flowing);
        let remote_ended = (Up::Flowing, Down::Finished);
        let local_ended = (Up::Ended, Down::Flowing);
        let cut = (Up::Cut, Down::Finished);
        let over = (Up::Ended, Down::Finished);
        for (cause, (up, down), outcome, code, clean, closed_by) in [
            (Cause::Completed, over, FIN, "OK", true, Graceful),
            (Cause::Completed, over, BY_PEER, "ECONNRESET", false, Reset),
            (remote.clone(), open, FIN, "ERR_SSH_CHANNEL_CLOSED", false, Graceful),
            (remote.clone(), open, RESET, "ERR_SSH_CHANNEL_CLOSED", false, Reset),
            (remote.clone(), open, BY_PEER, "ECONNRESET", false, Reset),
            (Cause::CutByRemote, local_ended, RESET, "ERR_SSH_CHANNEL_CLOSED", false, Reset),
            (Cause::CutByRemote, local_ended, BY_PEER, "ECONNRESET", false, Reset),
            // CLOSE together with EOF: a clean end if the local client has ended too.
            (remote.clone(), remote_ended, FIN, "OK", true, Graceful),
            (remote.clone(), remote_ended, FIN_ONLY, "ERR_SSH_CHANNEL_CLOSED", false, Graceful),
            (remote.clone(), remote_ended, RESET, "ERR_SSH_CHANNEL_CLOSED", false, Graceful),
            (Cause::ResetByLocal, open, RESET, "ECONNRESET", false, Reset),
            (Cause::ResetByLocal, remote_ended, RESET, "ECONNRESET", false, Graceful),
            (application.clone(), open, FIN, "OK", false, Graceful),
            (application.clone(), cut, FIN_ONLY, "OK", false, Graceful),
            (application.clone(), cut, FIN, "OK", true, Graceful),
            (application.clone(), over, FIN, "OK", true, Graceful),
            (application, cut, BY_PEER, "ECONNRESET", false, Reset),
            (Cause::Idle, open, FIN, "ETIMEDOUT", false, Graceful),
            (Cause::Idle, cut, FIN_ONLY, "ETIMEDOUT", false, Graceful),
            (Cause::Idle, over, FIN, "ETIMEDOUT", true, Graceful),
            (Cause::Idle, open, RESET, "ETIMEDOUT", false, Reset),
            (lost(), open, RESET, "ERR_SSH_DISCONNECTED", false, Reset),
            (lost(), remote_ended, RESET, "ERR_SSH_DISCONNECTED", false, Graceful),
            (lost(), over, BY_PEER, "ERR_SSH_DISCONNECTED", false, Reset),
        ] {
            let row = format!("{cause:?} {up:?} {down:?} {outcome:?}");
            let end = report(cause, up, down).end(outcome);
            assert_eq!((&*end.code, end.clean, end.closed_by), (code, clean, closed_by), "{row}");
            assert_eq!((end.id, end.forward), (7, 3), "{row}");
            assert_eq!((end.bytes_up, end.bytes_down), (100, 1000), "{row}");
            assert_eq!((end.dropped_up, end.dropped_down), (0, 0), "{row}");
        }
    }

    #[test]
    fn lost_bytes_are_counted_once_and_make_no_clean_end() {
        let report = |dropped| Report {
            dropped,
            ..report(Cause::Application("shutdown"), Up::Ended, Down::Finished)
        };
        for (dropped, unsent, discarded) in [(1, 0, 0), (0, 1, 0), (0, 0, 1), (30, 20, 10)] {
            let end = report(dropped).end(Outcome { unsent, discarded, ..FIN });
            assert!(!end.clean);
            assert_eq!(end.dropped_down, dropped + unsent);
            assert_eq!(end.bytes_down + end.dropped_down, 1000);
            assert_eq!(end.dropped_up, discarded);
        }
        // A FIN before the last byte is no end of stream.
        let end = report(0).end(Outcome { unsent: 1, ..RESET });
        assert_eq!(end.closed_by, ClosedBy::Reset);
    }

    #[test]
    fn what_is_not_known_is_neither_delivered_nor_dropped() {
        let over = || report(Cause::Completed, Up::Ended, Down::Finished);
        for (outcome, code, closed_by) in [
            (FIN, "OK", ClosedBy::Graceful),
            (BY_PEER, "ECONNRESET", ClosedBy::Reset),
            (CUT, "ECONNABORTED", ClosedBy::Reset),
        ] {
            for (acknowledged, unsent) in [(0, 0), (300, 0), (300, 20)] {
                let report = Report { acknowledged, dropped: 1, ..over() };
                let end = report.end(Outcome { known: false, unsent, ..outcome });
                assert_eq!((&*end.code, end.clean, end.closed_by), (code, false, closed_by));
                assert_eq!((end.bytes_down, end.dropped_down), (acknowledged, 1 + unsent));
                assert_eq!(end.bytes_down + end.dropped_down + end.unconfirmed_down, 1000);
            }
        }
        // A server that closes together with its end of stream has not cut anything.
        let report = report(Cause::ClosedByRemote, Up::Ended, Down::Finished);
        let end = report.end(Outcome { known: false, ..FIN });
        assert_eq!((&*end.code, end.clean, end.unconfirmed_down), ("OK", false, 1000));
        // What was never open has delivered nothing.
        let end = Report { received: 0, opened: false, ..over() };
        assert_eq!(end.end(Outcome { known: false, ..RESET }).unconfirmed_down, 0);
    }

    #[test]
    fn a_connection_that_never_opened_ends_with_a_reset_and_a_reason() {
        for (cause, code) in [
            (Cause::Application("disconnect"), "ECONNABORTED"),
            (Cause::Rejected, "ERR_TUNNEL_REJECTED"),
            (Cause::Full, "ERR_TUNNEL_MAX_CONNECTIONS"),
            (Cause::Unanswered("it"), "ETIMEDOUT"),
            (
                refused(OpenFailure::AdministrativelyProhibited),
                "ERR_SSH_OPEN_ADMINISTRATIVELY_PROHIBITED",
            ),
            (refused(OpenFailure::ConnectFailed), "ERR_SSH_OPEN_CONNECT_FAILED"),
            (refused(OpenFailure::UnknownChannelType), "ERR_SSH_OPEN_UNKNOWN_CHANNEL_TYPE"),
            (refused(OpenFailure::ResourceShortage), "ERR_SSH_OPEN_RESOURCE_SHORTAGE"),
            (refused(OpenFailure::Other(77)), "ERR_SSH_OPEN_FAILED"),
            (lost(), "ERR_SSH_DISCONNECTED"),
        ] {
            let report = Report {
                sent: 0,
                received: 0,
                opened: false,
                ..report(cause, Up::Flowing, Down::Flowing)
            };
            let end = report.end(RESET);
            assert_eq!((&*end.code, end.clean, end.closed_by), (code, false, ClosedBy::Reset));
            assert!(!end.reason.is_empty());
            assert_eq!(end.description.as_deref(), code.contains("_OPEN_").then_some("no"));
        }
    }

    #[test]
    fn a_close_that_was_cut_short_says_so_where_there_was_a_time_for_it() {
        use ClosedBy::{Graceful, Reset};
        let open = (Up::Last(5), Down::Flowing);
        let remote_ended = (Up::Cut, Down::Finished);
        let over = (Up::Ended, Down::Finished);
        let bounded = Linger { onoff: 1, linger: 5 };
        for (linger, expired) in [(bounded, true), (Linger::HARD, false)] {
            for (cause, (up, down), unsent, code, closed_by) in [
                (Cause::Completed, over, 9, "ECONNABORTED", Reset),
                (Cause::Application("disconnect"), open, 9, "ECONNABORTED", Reset),
                // Cut while it waited for the remote end to confirm: everything was delivered.
                (Cause::Application("disconnect"), remote_ended, 0, "ECONNABORTED", Graceful),
                (Cause::Idle, open, 9, "ETIMEDOUT", Reset),
                (Cause::ClosedByRemote, open, 9, "ERR_SSH_CHANNEL_CLOSED", Reset),
                (Cause::ResetByLocal, open, 0, "ECONNRESET", Reset),
                (lost(), open, 9, "ERR_SSH_DISCONNECTED", Reset),
            ] {
                let report = Report { linger, ..report(cause, up, down) };
                let end = report.end(Outcome { unsent, ..CUT });
                assert_eq!((&*end.code, end.clean, end.closed_by), (code, false, closed_by));
                assert_eq!(end.linger_expired, expired);
                assert_eq!(end.reason.ends_with("; its linger time ran out"), expired);
                assert_eq!((end.bytes_down, end.dropped_down), (1000 - unsent, unsent));
            }
        }
    }

    #[test]
    fn a_forced_end_is_told_beside_the_cause_and_is_no_expired_linger_time() {
        let bounded = Linger { onoff: 1, linger: 5 };
        for linger in [Linger::GRACEFUL, Linger::HARD, bounded] {
            for (force, cause, code) in [
                (Force::Shutdown, Cause::Application("shutdown"), "ECONNABORTED"),
                (Force::Timeout, Cause::Application("disconnect"), "ECONNABORTED"),
                (Force::Shutdown, Cause::Completed, "ECONNABORTED"),
                (Force::Shutdown, Cause::Idle, "ETIMEDOUT"),
                (Force::Timeout, Cause::ResetByLocal, "ECONNRESET"),
                (Force::Shutdown, lost(), "ERR_SSH_DISCONNECTED"),
            ] {
                let mut report = Report { linger, ..report(cause, Up::Ended, Down::Ended) };
                report.force(force);
                let end = report.end(Outcome { unsent: 9, ..CUT });
                assert_eq!((&*end.code, end.clean, end.closed_by), (code, false, ClosedBy::Reset));
                assert!(!end.linger_expired && end.reason.ends_with(force.reason()));
                assert_eq!((end.bytes_down, end.dropped_down), (991, 9));
            }
        }
        // What ended by itself in the same moment did so.
        let mut report = report(Cause::Completed, Up::Ended, Down::Finished);
        report.force(Force::Shutdown);
        let end = report.end(FIN);
        assert!(end.clean && end.reason.ends_with("end of stream"));
    }

    #[test]
    fn a_hard_close_by_the_application_is_no_success() {
        let report = report(Cause::Application("disconnect"), Up::Flowing, Down::Flowing);
        let end = Report { linger: Linger::HARD, ..report }.end(RESET);
        assert_eq!((&*end.code, end.closed_by), ("ECONNABORTED", ClosedBy::Reset));
        assert_eq!(end.reason, "closed by disconnect()");
    }
}
