use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::thread;

use super::*;
use crate::runtime;

/// Counts how often it was woken.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counter {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn kind<T: std::fmt::Debug>(outcome: io::Result<T>) -> io::ErrorKind {
    outcome.expect_err("it fails").kind()
}

/// Reads everything up to the end of the stream, or up to an error.
fn read_to_end(end: &End) -> (Vec<u8>, io::Result<()>) {
    let (mut all, mut buffer) = (Vec::new(), [0; 7]);
    loop {
        match end.try_read(&mut buffer) {
            Ok(0) => return (all, Ok(())),
            Ok(count) => all.extend(&buffer[..count]),
            Err(error) => return (all, Err(error)),
        }
    }
}

#[test]
fn bytes_arrive_in_order_and_at_most_the_capacity_waits() {
    let (left, right) = pair(10);
    let mut buffer = [0; 6];
    assert_eq!(kind(right.try_read(&mut buffer)), io::ErrorKind::WouldBlock);
    assert_eq!(left.try_write(b"abcdefgh").expect("fits"), 8);
    assert_eq!(left.try_write(b"ijkl").expect("half of it fits"), 2);
    assert_eq!(kind(left.try_write(b"kl")), io::ErrorKind::WouldBlock);
    assert_eq!((left.unsent(1), right.unread()), (10, 10));
    assert_eq!(right.try_read(&mut buffer).expect("bytes"), 6);
    assert_eq!(&buffer, b"abcdef");
    // Across the end of the ring, and into several slices.
    let slices = [IoSlice::new(b"kl"), IoSlice::new(b""), IoSlice::new(b"mnopqr")];
    assert_eq!(left.try_write_vectored(&slices).expect("fits"), 6);
    let (mut one, mut two) = ([0; 3], [0; 9]);
    let slices = &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
    assert_eq!(right.try_read_vectored(slices).expect("bytes"), 10);
    assert_eq!((&one, &two[..7]), (b"ghi", &b"jklmnop"[..]));
    assert_eq!((left.unsent(1), right.unread()), (0, 0));
    // The other direction has a ring of its own.
    assert_eq!(right.try_write(b"reply").expect("fits"), 5);
    assert_eq!(left.try_read(&mut buffer).expect("bytes"), 5);
}

#[test]
fn a_ring_grows_to_its_capacity_and_not_beyond() {
    let (left, right) = pair(100_000);
    let allocated = || right.input.lock().bytes.capacity();
    assert_eq!(allocated(), 0);
    left.try_write(&[1; 10]).expect("fits");
    assert_eq!(allocated(), MIN_ALLOCATION);
    while left.try_write(&[1; 3000]).is_ok() {}
    assert_eq!((allocated(), right.unread()), (100_000, 100_000));
}

#[test]
fn a_reader_is_woken_by_bytes_and_by_the_end() {
    let (left, right) = pair(10);
    let counter = Arc::new(Counter::default());
    let (waker, idle) = (Waker::from(counter.clone()), Waker::noop());
    let cx = &mut Context::from_waker(&waker);
    // The last waker counts.
    assert!(right.poll_read_ready(&mut Context::from_waker(idle)).is_pending());
    assert!(right.poll_read_ready(cx).is_pending());
    left.try_write(b"x").expect("fits");
    assert_eq!(counter.count(), 1);
    assert!(right.poll_read_ready(cx).is_ready());
    right.try_read(&mut [0; 10]).expect("bytes");
    assert!(right.poll_read_ready(cx).is_pending());
    left.shutdown_write();
    assert_eq!(counter.count(), 2);
    assert!(right.poll_read_ready(cx).is_ready());
}

#[test]
fn a_writer_is_woken_when_half_is_free_and_not_for_every_read() {
    let (left, right) = pair(10);
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(counter.clone());
    let cx = &mut Context::from_waker(&waker);
    assert!(left.poll_write_ready(cx).is_ready());
    assert_eq!(left.try_write(&[1; 12]).expect("most of it"), 10);
    assert!(left.poll_write_ready(cx).is_pending());
    right.try_read(&mut [0; 4]).expect("bytes");
    assert!(counter.count() == 0 && left.poll_write_ready(cx).is_pending());
    right.try_read(&mut [0; 1]).expect("bytes");
    assert!(counter.count() == 1 && left.poll_write_ready(cx).is_ready());
    // A ring that was filled exactly is as full.
    assert_eq!(left.try_write(&[1; 5]).expect("fits"), 5);
    assert!(left.poll_write_ready(cx).is_pending());
    drop(right);
    assert!(counter.count() == 2 && left.poll_write_ready(cx).is_ready());
}

#[test]
fn a_half_close_ends_one_direction() {
    let (left, right) = pair(10);
    left.try_write(b"last").expect("fits");
    left.shutdown_write();
    left.shutdown_write();
    assert_eq!(kind(left.try_write(b"x")), io::ErrorKind::BrokenPipe);
    assert!(!right.has_ended().expect("bytes come first"));
    assert_eq!(right.try_read(&mut [0; 10]).expect("bytes"), 4);
    assert!(right.has_ended().expect("no error"));
    assert_eq!(left.unsent(1), 1, "the end of the stream was not read");
    assert_eq!(right.try_read(&mut [0; 10]).expect("the end"), 0);
    assert_eq!(left.unsent(1), 0);
    assert_eq!(right.try_write(b"more").expect("the other direction"), 4);
    assert_eq!(left.try_read(&mut [0; 10]).expect("bytes"), 4);
}

#[test]
fn a_writer_is_woken_when_all_is_read_and_the_end_too() {
    let (left, right) = pair(10);
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(counter.clone());
    let cx = &mut Context::from_waker(&waker);
    assert!(left.poll_drained(cx).is_ready());
    left.try_write(b"ab").expect("fits");
    assert!(left.poll_drained(cx).is_pending());
    right.try_read(&mut [0; 1]).expect("a byte");
    assert_eq!(counter.count(), 0);
    right.try_read(&mut [0; 1]).expect("a byte");
    assert!(counter.count() == 1 && left.poll_drained(cx).is_ready());
    left.shutdown_write();
    assert!(left.poll_drained(cx).is_pending());
    right.try_read(&mut [0; 1]).expect("the end");
    assert!(counter.count() == 2 && left.poll_drained(cx).is_ready());
}

#[test]
fn closing_delivers_what_was_written_and_refuses_the_rest() {
    let (left, right) = pair(10);
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(counter.clone());
    let cx = &mut Context::from_waker(&waker);
    assert!(right.poll_closed(cx).is_pending());
    left.try_write(b"all").expect("fits");
    left.shutdown_write();
    assert!(right.poll_closed(cx).is_pending(), "one direction only");
    drop(left);
    assert!(counter.count() == 1 && right.poll_closed(cx).is_ready());
    let (bytes, end) = read_to_end(&right);
    assert!(bytes == b"all" && end.is_ok());
    assert_eq!(kind(right.try_write(b"x")), io::ErrorKind::BrokenPipe);
    assert!(right.error().is_none(), "nothing was lost");
}

#[test]
fn closing_with_unread_bytes_is_an_error_for_their_writer() {
    let (left, right) = pair(10);
    left.try_write(b"unread").expect("fits");
    assert!(left.error().is_none());
    drop(right);
    assert_eq!(left.error().map(|error| error.kind()), Some(io::ErrorKind::ConnectionReset));
    assert_eq!(left.unsent(1), 6);
    assert!(left.poll_drained(&mut Context::from_waker(Waker::noop())).is_ready());
}

#[test]
fn a_reset_delivers_or_drops_what_was_written() {
    let reset = io::ErrorKind::ConnectionReset;
    for mode in [ResetMode::AfterData, ResetMode::AtOnce] {
        let (left, right) = pair(10);
        left.try_write(b"data").expect("fits");
        right.try_write(b"unread").expect("fits");
        let dropped = left.reset(reset, mode);
        drop(left);
        let (bytes, end) = read_to_end(&right);
        let delivered: &[u8] = if mode == ResetMode::AfterData { b"data" } else { b"" };
        assert_eq!((&bytes[..], dropped), (delivered, 4 - delivered.len()));
        assert_eq!(kind(end), reset);
        assert_eq!(kind(right.try_read(&mut [0; 1])), reset, "every time");
        assert_eq!(kind(right.try_write(b"x")), reset);
        assert_eq!(kind(right.has_ended()), reset);
        assert_eq!(right.error().map(|error| error.kind()), Some(reset));
    }
}

#[test]
fn a_reset_after_the_end_of_the_stream_leaves_the_end_if_nothing_is_dropped() {
    let reset = io::ErrorKind::ConnectionReset;
    let ended = || {
        let (left, right) = pair(10);
        left.try_write(b"data").expect("fits");
        left.shutdown_write();
        (left, right)
    };
    let (left, right) = ended();
    assert_eq!(left.reset(reset, ResetMode::AfterData), 0);
    let (bytes, end) = read_to_end(&right);
    assert!(bytes == b"data" && end.is_ok());
    assert_eq!(kind(right.try_write(b"x")), reset);
    let (left, right) = ended();
    assert_eq!(left.reset(reset, ResetMode::AtOnce), 4);
    assert_eq!(kind(read_to_end(&right).1), reset, "a cut stream never looks complete");
}

#[test]
fn an_end_that_was_reset_is_not_usable_by_its_owner() {
    let (left, _right) = pair(10);
    left.reset(io::ErrorKind::ConnectionReset, ResetMode::AfterData);
    assert_eq!(kind(left.try_read(&mut [0; 1])), io::ErrorKind::ConnectionReset);
    assert_eq!(kind(left.try_write(b"x")), io::ErrorKind::BrokenPipe);
}

#[test]
fn a_ring_gives_its_memory_back_when_a_small_read_has_emptied_it() {
    let (left, right) = pair(100_000);
    let allocated = || left.output.lock().bytes.capacity();
    left.try_write(&[1; 100_000]).expect("there is room");
    assert_eq!(right.try_read(&mut [0; 90_000]).expect("bytes"), 90_000);
    assert!(allocated() >= 100_000, "it is not empty");
    assert_eq!(right.try_read(&mut [0; 90_000]).expect("bytes"), 10_000);
    assert!((1..=MAX_IDLE).contains(&allocated()), "{}", allocated());
    left.try_write(&[1; 50_000]).expect("there is room");
    assert_eq!(right.try_read(&mut [0; 50_000]).expect("bytes"), 50_000);
    assert!(allocated() >= 50_000, "a bulk transfer goes on");
}

#[test]
fn a_thread_and_a_task_exchange_a_stream() {
    const TOTAL: usize = 8 * 1024 * 1024;
    let byte = |at: usize| (at % 251) as u8;
    let (left, right) = pair(64 * 1024);
    let echo = runtime::handle().spawn(async move {
        let mut buffer = vec![0; 10_000];
        loop {
            poll_fn(|cx| right.poll_read_ready(cx)).await;
            let mut bytes = match right.try_read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => &buffer[..count],
                Err(error) => panic!("{error}"),
            };
            while !bytes.is_empty() {
                poll_fn(|cx| right.poll_write_ready(cx)).await;
                match right.try_write(bytes) {
                    Ok(count) => bytes = &bytes[count..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    });
    let worker = thread::spawn(move || {
        runtime::handle().block_on(async {
            let (mut sent, mut received, mut buffer) = (0, 0, vec![0; 33_333]);
            while received < TOTAL {
                let chunk: Vec<u8> = (sent..TOTAL.min(sent + 20_000)).map(byte).collect();
                sent += left.try_write(&chunk).unwrap_or_default();
                if sent == TOTAL {
                    left.shutdown_write();
                }
                poll_fn(|cx| {
                    let read = left.poll_read_ready(cx);
                    if sent < TOTAL && left.poll_write_ready(cx).is_ready() {
                        return Poll::Ready(());
                    }
                    read
                })
                .await;
                let count = left.try_read(&mut buffer).unwrap_or_default();
                let expected = (received..received + count).map(byte);
                assert!(expected.eq(buffer[..count].iter().copied()));
                received += count;
            }
        });
    });
    worker.join().expect("the thread");
    runtime::handle().block_on(echo).expect("the task");
}
