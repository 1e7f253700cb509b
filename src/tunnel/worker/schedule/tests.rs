//! Schedules over a model of connections: which of them is read, and how much each may send.

use super::*;

/// Bytes of a read of bulk data.
const PORTION: usize = 8 * 1024;

/// Connections by their index, with what each has to send.
#[derive(Default)]
struct Model {
    schedule: Schedule,
    places: Vec<Place>,
    waiting: Vec<usize>,
    sent: Vec<usize>,
    /// The connections in the order in which they were read.
    order: Vec<usize>,
}

impl Model {
    fn new(count: usize) -> Self {
        Self {
            places: vec![Place::default(); count],
            waiting: vec![0; count],
            sent: vec![0; count],
            ..Self::default()
        }
    }

    /// Gives a connection bytes to send.
    fn arrive(&mut self, index: usize, count: usize) {
        self.waiting[index] += count;
        self.schedule.add(index, &mut self.places[index]);
    }

    /// Reads every connection that goes first, then one bulk connection.
    fn turn(&mut self) {
        for _ in 0..self.schedule.len().0 {
            let index = self.schedule.next_first().expect("one is left");
            self.read(index, self.places[index].quantum());
        }
        if let Some(index) = self.schedule.next_bulk() {
            self.read(index, PORTION);
        }
    }

    fn read(&mut self, index: usize, most: usize) {
        let place = &mut self.places[index];
        self.schedule.taken(place);
        let count = most.min(self.waiting[index]);
        self.waiting[index] -= count;
        self.sent[index] += count;
        self.order.push(index);
        let empty = self.waiting[index] == 0;
        self.schedule.read(place, count, empty);
        if !empty {
            self.schedule.add(index, place);
        }
    }
}

#[test]
fn a_request_goes_before_bulk_data() {
    let mut model = Model::new(3);
    model.arrive(0, usize::MAX / 2);
    model.arrive(1, usize::MAX / 2);
    for _ in 0..100 {
        model.turn();
    }
    model.order.clear();
    model.arrive(2, 200);
    model.turn();
    assert_eq!(model.order[0], 2);
    assert_eq!(model.sent[2], 200);
}

#[test]
fn bulk_connections_have_equal_turns_whatever_their_age() {
    let mut model = Model::new(5);
    model.arrive(0, usize::MAX / 2);
    for _ in 0..1000 {
        model.turn();
    }
    let before = model.sent[0];
    for index in 1..5 {
        model.arrive(index, usize::MAX / 2);
    }
    for _ in 0..1000 {
        model.turn();
    }
    let sent: Vec<usize> = model
        .sent
        .iter()
        .enumerate()
        .map(|(index, sent)| sent - if index == 0 { before } else { 0 })
        .collect();
    let (least, most) = (*sent.iter().min().unwrap(), *sent.iter().max().unwrap());
    assert!(most - least <= QUANTUM + PORTION, "{sent:?}");
}

#[test]
fn a_burst_is_bulk_data_after_a_quantum() {
    let mut model = Model::new(2);
    model.arrive(0, usize::MAX / 2);
    model.turn();
    model.turn();
    model.arrive(1, 10 * QUANTUM);
    model.turn();
    assert_eq!(model.sent[1], QUANTUM);
    assert!(model.places[1].bulk);
    for _ in 0..8 {
        model.turn();
    }
    let (own, other) = (model.sent[1] - QUANTUM, model.sent[0]);
    assert!(own <= 4 * PORTION && other >= 4 * PORTION, "{own} {other}");
}

#[test]
fn many_small_messages_do_not_keep_bulk_data_from_moving() {
    let mut model = Model::new(65);
    model.arrive(0, usize::MAX / 2);
    model.turn();
    model.turn();
    let before = model.sent[0];
    for _ in 0..640 {
        for index in 1..65 {
            if model.waiting[index] == 0 {
                model.arrive(index, QUANTUM / 2);
            }
        }
        model.turn();
    }
    let others = model.sent[1..].iter().sum::<usize>() / 64;
    assert!(model.sent[0] - before >= others / 2, "{} {others}", model.sent[0] - before);
}

#[test]
fn a_connection_waits_once() {
    let mut model = Model::new(1);
    model.arrive(0, 10);
    model.arrive(0, 10);
    assert_eq!(model.schedule.len(), (1, 0));
    model.turn();
    assert!(model.schedule.is_empty());
    assert_eq!(model.order, [0]);
}
