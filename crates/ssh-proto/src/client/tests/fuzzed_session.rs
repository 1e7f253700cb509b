//! A whole session with the choices of the fuzzer, in which both sides keep to the protocol.

use super::harness::pair::{Cut, Pair, setup};
use super::harness::random::Random;
use super::harness::server::Script;
use super::random_sessions::RandomSession;
use crate::client::Setup;
use crate::fuzzing::Input;
use crate::transport::Protection;
use crate::{AlgorithmKind, Selection};

/// Steps of one session. More of them take longer, and find nothing that fewer do not.
const MAX_STEPS: usize = 1500;

/// Returns a session with every fast key exchange method, every cipher, and any rekey limits.
pub(super) fn connect(input: &mut Input<'_>) -> (Setup, Script) {
    let mut setup = setup();
    match input.below(8) {
        1 => setup.rekey.bytes = 1 + input.below(100_000) as u64,
        2 => setup.rekey.packets = 1 + input.below(200) as u32,
        _ => {}
    }
    let all = Protection::all();
    let (cipher, mac, _) = input.pick(&all);
    let kex = ["curve25519-sha256", "ecdh-sha2-nistp256", "mlkem768x25519-sha256"];
    let kex = if input.below(8) == 7 { input.pick(&kex) } else { kex[0] };
    let methods = ["none", "zlib@openssh.com"];
    let offered = Selection::Only(methods.map(str::to_owned).to_vec());
    setup.algorithms.select(AlgorithmKind::Compression, &offered).unwrap();
    let compression = [input.pick(&methods), input.pick(&methods)];
    let strict = !input.flag();
    (setup, Script { cipher, mac, kex, compression, strict, ..Script::default() })
}

/// Both sides open, send, end, close and rekey; bytes in flight arrive in any pieces. Every byte
/// arrives where it belongs, and every channel ends.
pub fn session(data: &[u8]) {
    let mut input = Input::new(data);
    let (setup, script) = connect(&mut input);
    let mut pair = Pair::new(setup, script);
    if input.flag() {
        pair.cut = Cut::Randomly(Random(input.byte().into()), 1 + input.below(2000));
    }
    pair.run();
    let mut session = RandomSession::new(pair, input);
    for _ in 0..MAX_STEPS {
        if session.choices.is_empty() {
            break;
        }
        session.step();
    }
    session.end();
}
