use pluralis::link::NEVER;
use pluralis::*;

use crate::support::*;

const SECOND: u64 = 1_000_000_000;

fn options(number: u8) -> LinkOptions {
    LinkOptions::new(Hash::of(b"a model"), [number; 32])
}

fn pair(a: LinkOptions, b: LinkOptions) -> (Link, Link) {
    let context = context();
    let link = |number, options: &LinkOptions| {
        Link::new(&context, &Identity::new(&context, &[number; 32]).unwrap(), options).unwrap()
    };
    (link(1, &a.initiator()), link(2, &b))
}

/// Moves bytes one way, in pieces.
fn carry(from: &mut Link, to: &mut Link, now: u64) -> Result<usize> {
    let mut buffer = [0; 1000];
    let mut total = 0;
    loop {
        let len = from.io().transmit(now, &mut buffer).unwrap();
        if len == 0 {
            return Ok(total);
        }
        total += len;
        to.io().receive(now, &buffer[..len])?;
    }
}

fn settle(a: &mut Link, b: &mut Link, now: u64) {
    while carry(a, b, now).unwrap() + carry(b, a, now).unwrap() > 0 {}
}

fn ready_pair(a: LinkOptions, b: LinkOptions) -> (Link, Link) {
    let (mut a, mut b) = pair(a, b);
    assert_eq!(a.io().next_deadline_ns(), 0, "it knows no time yet");
    settle(&mut a, &mut b, SECOND);
    assert_eq!(a.next_event(), Some(LinkEvent::Ready));
    assert_eq!(b.next_event(), Some(LinkEvent::Ready));
    assert_eq!(a.next_event(), None);
    (a, b)
}

#[test]
fn frames_arrive_whole_and_in_order_of_priority() {
    let (mut a, mut b) = ready_pair(options(1), options(2));
    let context = context();
    let keys = [1, 2].map(|n| Identity::new(&context, &[n; 32]).unwrap().public_key());
    assert_eq!((a.peer_key(), b.peer_key()), (keys[1], keys[0]));
    a.send(&[3; 5000], 3).unwrap();
    a.send(b"urgent", 0).unwrap();
    assert!(a.stats().queued_bytes >= 5006);
    settle(&mut a, &mut b, 2 * SECOND);
    assert_eq!(b.next_event(), Some(LinkEvent::Frame(b"urgent")));
    assert_eq!(b.next_event(), Some(LinkEvent::Frame(&[3; 5000])));
    assert_eq!(b.next_event(), None);
    let (sent, received) = (a.stats(), b.io().stats());
    assert_eq!((sent.frames_sent, received.frames_received), (2, 2));
    assert_eq!(sent.bytes_sent, received.bytes_received);
    assert_eq!(a.io().peer_key(), keys[1]);
}

#[test]
fn a_full_queue_says_again_and_then_writable() {
    let (mut a, mut b) = ready_pair(options(1).window(8192), options(2).window(8192));
    let mut sent = 0;
    while a.send(&[1; 1000], 1).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 6);
    refused(Status::AGAIN, a.send(&[1; 1000], 1));
    for turn in 2..20 {
        settle(&mut a, &mut b, turn * SECOND / 10);
        while b.next_event().is_some() {}
        b.io().advance(turn * SECOND / 10).unwrap();
    }
    assert_eq!(a.next_event(), Some(LinkEvent::Writable));
    a.send(&[1; 1000], 1).unwrap();
    refused(Status::LIMIT, a.send(&[1; 9000], 1));
    refused(Status::INVALID_ARGUMENT, a.send(&[1; 10], 4));
    refused(Status::INVALID_ARGUMENT, a.send(&[], 0));
}

#[test]
fn a_link_that_is_altered_ends() {
    let (mut a, mut b) = ready_pair(options(1), options(2));
    a.send(&[9; 100], 1).unwrap();
    let mut buffer = [0; 1000];
    let len = a.io().transmit(2 * SECOND, &mut buffer).unwrap();
    buffer[len / 2] ^= 1;
    let error = b.io().receive(2 * SECOND, &buffer[..len]).unwrap_err();
    assert_eq!(error.status, Status::CHECKSUM);
    match b.next_event() {
        Some(LinkEvent::Closed { status, message }) => {
            assert_eq!(status, Status::CHECKSUM);
            assert!(!message.is_empty());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(b.next_event(), None);
    refused(Status::INVALID_STATE, b.io().receive(3 * SECOND, &buffer[..len]));
    refused(Status::INVALID_STATE, b.send(b"x", 0));
    assert_eq!(b.io().next_deadline_ns(), NEVER);
}

fn closed(link: &mut Link) -> (Status, String) {
    loop {
        match link.next_event() {
            Some(LinkEvent::Closed { status, message }) => return (status, message.to_string()),
            Some(_) => (),
            None => panic!("it is open"),
        }
    }
}

#[test]
fn both_sides_must_agree() {
    let key = [5; 32];
    for (a, status) in [
        (LinkOptions::new(Hash::of(b"another"), [1; 32]), Status::MISMATCH),
        (options(1).profile(Hash::of(b"another")), Status::MISMATCH),
        (options(1).peer_key(key), Status::MISMATCH),
    ] {
        let (mut a, mut b) = pair(a, options(2));
        let _ = carry(&mut a, &mut b, 0);
        let _ = carry(&mut b, &mut a, 0);
        let (found, message) = closed(&mut a);
        assert_eq!(found, status, "{message}");
    }
}

#[test]
fn silence_is_death() {
    let quiet = options(1).keep_alive_ns(0).timeout_ns(3 * SECOND);
    let (mut a, _b) = ready_pair(quiet, options(2));
    assert_eq!(a.io().next_deadline_ns(), 4 * SECOND);
    a.io().advance(3 * SECOND).unwrap();
    refused(Status::CLOSED, a.io().advance(4 * SECOND));
    assert_eq!(closed(&mut a).0, Status::CLOSED);
}

#[test]
fn the_host_may_end_it() {
    let (mut a, mut b) = ready_pair(options(1), options(2));
    a.io().close(Status::IO);
    let _ = carry(&mut a, &mut b, 2 * SECOND);
    assert_eq!(closed(&mut a).0, Status::IO);
    closed(&mut b);
    drop(a);
}

#[test]
fn options_are_checked() {
    let context = context();
    let me = Identity::new(&context, &[1; 32]).unwrap();
    for bad in [options(1).window(100), options(1).window(1 << 50)] {
        let error = refused(Status::INVALID_ARGUMENT, Link::new(&context, &me, &bad));
        assert_eq!(error.where_, "link.window");
    }
}

#[test]
fn a_lost_stream_loses_nothing() {
    let (mut a, mut b) = ready_pair(options(1), options(2));
    let mut lost = [0; 4096];
    a.send(b"first", 1).unwrap();
    carry(&mut a, &mut b, 5).unwrap();
    a.send(&[7; 2000], 1).unwrap();
    assert!(a.io().transmit(5, &mut lost).unwrap() > 2000);
    a.io().resume(6, &[11; 32]).unwrap();
    assert_eq!(a.io().resume(6, &[11; 32]).unwrap_err().status, Status::INVALID_ARGUMENT);
    b.io().resume(6, &[12; 32]).unwrap();
    settle(&mut a, &mut b, 6);
    assert_eq!(a.next_event(), Some(LinkEvent::Resumed));
    assert_eq!(b.next_event(), Some(LinkEvent::Resumed));
    assert_eq!(b.next_event(), Some(LinkEvent::Frame(b"first")));
    assert_eq!(b.next_event(), Some(LinkEvent::Frame(&[7; 2000])));
    assert_eq!(b.next_event(), None);
    let stats = a.stats();
    assert_eq!((stats.resumes, stats.frames_sent, stats.duplicates), (1, 2, 0));
    assert_eq!(a.budget(1_000_000), None);
}

#[test]
fn datagrams_in_any_order() {
    let (mut a, mut b) = ready_pair(options(1).unsealed().datagram(600), options(2).unsealed().datagram(600));
    a.send(&[9; 3000], 2).unwrap();
    let mut pieces = Vec::new();
    let mut buffer = [0; 600];
    loop {
        let n = a.io().transmit(9, &mut buffer).unwrap();
        if n == 0 {
            break;
        }
        pieces.push(buffer[..n].to_vec());
    }
    assert!(pieces.len() >= 6);
    for piece in pieces.iter().rev() {
        b.io().receive(9, piece).unwrap();
        b.io().receive(9, piece).unwrap();
    }
    assert_eq!(b.next_event(), Some(LinkEvent::Frame(&[9; 3000])));
    assert_eq!(b.stats().rejected, pieces.len() as u64);
}
