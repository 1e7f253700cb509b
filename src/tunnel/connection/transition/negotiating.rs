//! What each event makes of a connection whose client names its target over the channel.

use super::*;

const FLOW: Flow = Flow { up: Up::Flowing, down: Down::Ended };
const PHASE: Phase = Phase::Negotiating(FLOW);
const LINGERS: [LingerMode; 3] = [
    LingerMode::Graceful,
    LingerMode::Hard,
    LingerMode::Bounded(std::time::Duration::from_secs(1)),
];

#[test]
fn it_opens_with_its_flow_and_keeps_what_does_not_concern_it() {
    for linger in LINGERS {
        let (next, actions) = step(PHASE, linger, Event::Opened);
        assert_eq!(next, Phase::Open(FLOW), "the client may have ended its stream");
        assert!(actions.read && actions.timer == Timer::Stop && actions.end.is_none());
        for event in [
            Event::Delivered,
            Event::LingerChanged,
            Event::LingerExpired,
            Event::LocalEof,
            Event::LocalReset { unread: false },
            Event::SocketClosed,
        ] {
            assert_eq!(step(PHASE, linger, event), (PHASE, Actions::default()), "{event:?}");
        }
    }
    let before = Phase::Negotiating(Flow::OPEN);
    let ended = step(before, LingerMode::Graceful, Event::RemoteEof);
    assert_eq!(ended, (PHASE, Actions::default()), "the channel stays open for the reply");
}

#[test]
fn a_reply_is_sent_whatever_the_linger_and_anything_else_closes_the_channel_at_once() {
    for linger in LINGERS {
        let (next, actions) = step(PHASE, linger, Event::Close { unread: 10, reply: true });
        assert_eq!(next, Phase::Draining(Flow { up: Up::Last(10), ..FLOW }));
        let timer = if linger == LingerMode::Hard { Timer::Stop } else { Timer::Restart };
        assert_eq!((actions.read, actions.timer, actions.end), (true, timer, None));
        let (next, actions) = step(next, linger, Event::LastSent);
        assert_eq!(next, Phase::Draining(Flow { up: Up::Cut, ..FLOW }));
        assert!(actions.eof && actions.close);

        for (event, reason, forced) in [
            (Event::Close { unread: 0, reply: false }, Reason::Given, false),
            (Event::SessionLost { comes_back: true, reply: false }, Reason::Given, false),
            (Event::RemoteClose { client: Client::Sending }, Reason::ClosedByRemote, false),
            (Event::Force { reply: true }, Reason::Given, true),
        ] {
            let (next, actions) = step(PHASE, linger, event);
            let end = Some(End::Reset { reason, forced });
            assert_eq!((next, actions.close, actions.end), (Phase::Ended, true, end), "{event:?}");
        }
    }
}
