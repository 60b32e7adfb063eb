//! Spending of a rate: each demand gets the word that is its own.

use std::sync::mpsc;
use std::thread;

use super::{PATIENCE, joined, push};
use crate::{Frame, FrontEnd, Spent, Writable};

/// Takes what lies in the ring; tells `spent` of what is to be spent, if it is to tell anything. Gives the costs.
fn take(front: &mut FrontEnd, slot: u32, spent: Option<Spent>) -> Vec<u64> {
    let (mut cursor, progress) = front.response(slot);
    let mut costs = Vec::new();
    while let Some(frame) = front.frames(slot).next(&mut cursor).unwrap() {
        let Frame::Spend(cost) = frame else { panic!("{frame:?}") };
        costs.push(cost);
        if let Some(spent) = spent {
            front.tell_spent(slot, &cursor, spent);
        }
    }
    front.consume(slot, cursor, progress);
    costs
}

#[test]
fn whoever_spends_waits_for_the_word() {
    let (mut front, end) = joined(1);
    let slot = push(&mut front, "/").unwrap();
    let (asked, question) = mpsc::channel();
    let spender = thread::spawn(move || {
        let mut taken = end.take().unwrap();
        let mut all = Vec::new();
        for cost in [1, u32::MAX, 0] {
            assert!(end.put_spending(&mut taken, cost));
            assert_eq!(end.spent(&taken), None, "nothing has been spent yet");
            end.publish(&mut taken);
            asked.send(()).unwrap();
            assert_eq!(end.wait_writable(&taken, Some(PATIENCE)), Writable::Ready);
            all.push(end.spent(&taken));
        }
        end.finish(taken, false);
        all
    });
    let said = [
        Spent { allowed: true, remaining: u32::MAX, reset: 0 },
        Spent { allowed: false, remaining: 0, reset: u32::MAX >> 1 },
        Spent { allowed: true, remaining: 7, reset: 60 },
    ];
    for (said, cost) in said.into_iter().zip([1, u64::from(u32::MAX), 0]) {
        question.recv_timeout(PATIENCE).unwrap();
        assert_eq!(take(&mut front, slot, Some(said)), [cost]);
    }
    assert_eq!(spender.join().unwrap(), said.map(Some));
}

#[test]
fn what_was_said_before_is_not_mistaken() {
    let (mut front, end) = joined(1);
    for request in 0..3 {
        let slot = push(&mut front, "/").unwrap();
        let mut taken = end.take().unwrap();
        assert_eq!(end.spent(&taken), None, "request {request}");
        assert!(end.put_spending(&mut taken, 1));
        end.publish(&mut taken);
        // Thrown away, as where nobody waits for the response: then nothing is said.
        take(&mut front, slot, (request != 1).then(Spent::default));
        assert_eq!(end.spent(&taken), (request != 1).then(Spent::default));
        end.finish(taken, false);
        front.discard(slot);
        assert!(front.release(slot));
    }
}
