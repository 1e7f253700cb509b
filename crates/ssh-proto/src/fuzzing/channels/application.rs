//! The application: its view of the channels, and its commands.

use std::time::Duration;

use super::{MAX_FORWARDS, Session};
use crate::fuzzing::Input;
use crate::fuzzing::server_model::{MAX_CHANNELS, byte};
use crate::{ChannelId, DisconnectReason, Error, ListenAddr, OpenFailure};

/// A channel as the application sees it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) id: ChannelId,
    pub(super) opened: bool,
    /// What the application has sent.
    pub(super) closed: bool,
    pub(super) eof: bool,
    /// What the application has received.
    pub(super) ended: bool,
    pub(super) over: bool,
    pub(super) got: usize,
    pub(super) consumed: usize,
    pub(super) sent: usize,
}

impl Session {
    pub(super) fn run_command(&mut self, input: &mut Input<'_>) {
        let choice = input.below(16);
        let at = input.below(MAX_CHANNELS);
        let has_room = self.views.len() < MAX_CHANNELS;
        let view = self.views.values_mut().nth(at);
        match (choice, view) {
            (0 | 1, _) if has_room => {
                let id = self.client.open_direct_tcpip("db", 5432, "::1", 4000);
                self.add(id, false);
            }
            (2, _) if has_room => {
                let id = self.client.open_direct_streamlocal("/run/db");
                self.add(id, false);
            }
            (3..=6, Some(view)) => {
                let most = input.length();
                let ready = input.length().min(most);
                let window = self.client.window(view.id);
                let filled = self.client.fill(view.id, most, |slots| {
                    let room: usize = slots.iter().map(|slot| slot.len()).sum();
                    assert!(room > 0 && room <= most.min(window));
                    for slot in slots.iter_mut().flat_map(|slot| slot.iter_mut()).take(ready) {
                        *slot = byte(view.id.index(), view.sent);
                        view.sent += 1;
                    }
                    Ok(ready.min(room))
                });
                let filled = filled.unwrap_or(0);
                assert_eq!(self.client.window(view.id), window - filled);
                assert!(filled == 0 || view.opened && !view.closed && !view.eof);
            }
            (7..=9, Some(view)) => {
                let count = input.below(view.got - view.consumed + 1);
                view.consumed += count;
                self.client.consumed(view.id, count, self.now);
            }
            (10 | 11, Some(view)) => {
                view.eof |= view.opened;
                self.client.eof(view.id);
                assert_eq!(self.client.window(view.id), 0);
            }
            (12 | 13, Some(view)) => {
                view.closed = true;
                let id = view.id;
                self.client.close(id);
                assert_eq!(self.client.window(id), 0);
                self.views.retain(|_, view| !(view.closed && view.over));
            }
            (14, _) => self.wait(Duration::from_millis(input.below(60_000) as u64)),
            (15, _) => match input.below(16) {
                0 => {
                    self.client.disconnect(DisconnectReason::ByApplication);
                    assert!(matches!(self.client.next_event(), Ok(None)));
                    self.error.get_or_insert(Error::HostKeyRejected);
                }
                choice => self.run_forward_command(choice, at),
            },
            _ => {}
        }
    }

    /// Gives a command about forwards and inbound channels.
    fn run_forward_command(&mut self, choice: usize, at: usize) {
        let inbound = self.inbound.len();
        match choice {
            1..=3 if self.forwards.len() < MAX_FORWARDS => {
                let addresses = [
                    ListenAddr::Tcp { host: "localhost".into(), port: 8080 },
                    ListenAddr::Tcp { host: "localhost".into(), port: 0 },
                    ListenAddr::Unix("/run/app".into()),
                ];
                let address = addresses.into_iter().nth(at % 3).expect("there are three");
                self.forwards.push((self.client.request_forward(address), false));
            }
            4 => {
                if let Some((forward, cancelled)) = self.forwards.get_mut(at) {
                    *cancelled = true;
                    self.client.cancel_forward(*forward);
                }
            }
            5..=12 if inbound > 0 && self.views.len() < MAX_CHANNELS => {
                let id = self.inbound.swap_remove(at % inbound);
                self.client.accept(id);
                self.add(id, true);
            }
            13 | 14 if inbound > 0 => {
                let id = self.inbound.swap_remove(at % inbound);
                self.client.reject(id, OpenFailure::ConnectFailed);
            }
            15 if inbound > 0 => self.client.close(self.inbound.swap_remove(at % inbound)),
            _ => {}
        }
    }

    fn add(&mut self, id: ChannelId, opened: bool) {
        self.forget_abandoned(id);
        let view = View {
            id,
            opened,
            closed: false,
            eof: false,
            ended: false,
            over: false,
            got: 0,
            consumed: 0,
            sent: 0,
        };
        self.views.insert(id.index(), view);
    }

    /// Forgets an abandoned channel when its number is reused: no event tells that it was refused.
    pub(super) fn forget_abandoned(&mut self, id: ChannelId) {
        if let Some(before) = self.views.remove(&id.index()) {
            assert!(before.closed && !before.opened && before.got == 0, "{before:?}");
        }
    }
}
