//! Every target with every seed, as regression tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;

type Target = fn(&[u8]);

/// The target in the fuzzer's own crate, which needs the session.
const ELSEWHERE: &str = "known_hosts";

#[test]
fn every_seed_passes() {
    let targets: [(&str, Target); 13] = [
        ("agent", agent),
        ("authentication", authentication),
        ("certificate", certificate),
        ("channels", channels),
        ("compression", compression),
        ("hostile", hostile),
        ("identification", identification),
        ("kexinit", kexinit),
        ("key_exchange", key_exchange),
        ("packets", packets),
        ("private_key", private_key),
        ("public_key", public_key),
        ("session", session),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let names = |path: &Path| -> BTreeSet<String> {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).collect()
    };
    let expected = targets.iter().map(|(name, _)| *name).chain([ELSEWHERE]);
    assert_eq!(names(&folder), expected.map(str::to_owned).collect());
    for (target, run) in targets {
        for name in names(&folder.join(target)) {
            eprintln!("{target}/{name}");
            run(&fs::read(folder.join(target).join(name)).unwrap());
        }
        // The shortest one.
        run(b"");
    }
}

#[test]
fn choices_come_from_the_front_and_end_in_zeros() {
    let mut input = Input::new(&[1, 2, 3, 0, 2, b'a', b'b', 0, 9, b'c']);
    assert_eq!((input.below(256), input.below(257), input.below(1)), (1, 2 * 256 + 3 - 514, 0));
    assert_eq!((input.chunk(), input.chunk()), (&b"ab"[..], &b"c"[..]));
    assert!(input.is_empty());
    assert_eq!((input.byte(), input.below(1000), input.chunk()), (0, 0, &b""[..]));
}
