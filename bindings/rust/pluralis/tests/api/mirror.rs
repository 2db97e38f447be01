use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use pluralis::ledger::entry::{self, EntryOptions};
use pluralis::ledger::mirror::{Mirror, MirrorOptions, Remote};
use pluralis::ledger::publish::Witness;
use pluralis::*;

use crate::pipeline::key;
use crate::support::*;

const NAME: &str = "witness.example/w";

type Files = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// One request on one connection: a file, a file put, or a witness asked.
fn serve(mut stream: TcpStream, files: &Files, witness: &Mutex<Option<Witness>>) -> Option<()> {
    let mut buffer = Vec::new();
    let (head, body) = loop {
        let mut piece = [0; 4096];
        let n = stream.read(&mut piece).ok().filter(|n| *n > 0)?;
        buffer.extend_from_slice(&piece[..n]);
        let end = buffer.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else { continue };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let mut length = head
            .lines()
            .filter_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        let length: usize = length.next().unwrap_or(0);
        if buffer.len() >= end + 4 + length {
            break (head, buffer[end + 4..].to_vec());
        }
    };
    let mut words = head.split_whitespace();
    let (method, path) = (words.next()?, words.next()?.trim_start_matches('/').to_string());
    let (status, answer) = match method {
        "PUT" => {
            files.lock().unwrap().insert(path, body);
            (201, Vec::new())
        }
        "POST" => {
            let mut witness = witness.lock().unwrap();
            let (status, text) = witness.as_mut()?.add_checkpoint(1, &String::from_utf8_lossy(&body)).ok()?;
            (status, text.into_bytes())
        }
        _ => match files.lock().unwrap().get(&path) {
            Some(data) => (200, data.clone()),
            None => (404, Vec::new()),
        },
    };
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&answer).ok()
}

fn site(witness: Option<Witness>) -> (String, Files) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let files = Files::default();
    let kept = files.clone();
    thread::spawn(move || {
        let witness = Mutex::new(witness);
        for stream in listener.incoming().flatten() {
            serve(stream, &kept, &witness);
        }
    });
    (url, files)
}

#[test]
fn a_log_is_put_cosigned_and_mirrored() {
    let context = context();
    let (me, wit) = (key(&context, 80), key(&context, 81));
    let options = LedgerOptions::new().origin(ORIGIN).sequencer(&me);
    let mut ledger = Ledger::open(&context, &options).unwrap();
    for number in 82..90 {
        let options = EntryOptions::new(&key(&context, number), ORIGIN, 1);
        ledger.append(&entry::account_open(&context, &options).unwrap()).unwrap();
    }
    let note = ledger.checkpoint().unwrap();
    let mut witness = Witness::new(&context, NAME, &wit, None).unwrap();
    witness.add_log(ORIGIN, &me.public_key()).unwrap();
    let (url, files) = site(Some(witness));

    let remote = Remote::default().retries(1).backoff_ms(1).parallel(2).timeout_ms(20000);
    let remote = remote.connect_timeout_ms(5000).stall_timeout_s(5);
    ledger.cosign_url((NAME, wit.public_key()), &url, &remote).unwrap();
    refused(Status::SIGNATURE, ledger.cosign_url((NAME, me.public_key()), &url, &remote));
    assert_eq!(ledger.publish_url(&url, &remote).unwrap(), 9);
    refused(Status::INVALID_ARGUMENT, ledger.publish_url("mailto:x", &remote));
    refused(Status::NOT_FOUND, ledger.guard_url(&url, &remote));
    let id = Hash::of(ORIGIN.as_bytes());
    files.lock().unwrap().insert(format!("{id}/checkpoint"), note.into_bytes());
    ledger.guard_url(&url, &remote).unwrap();

    let folder = Folder::new();
    let path = folder.join("copy.db");
    let keys = [(NAME, wit.public_key())];
    let mut options = MirrorOptions::new(&url, ORIGIN, me.public_key());
    options.path = Some(&path);
    options.witnesses = &keys;
    options.quorum = 1;
    options.remote = remote.clone();
    let mut mirror = Mirror::new(&context, &options).unwrap();
    assert!(mirror.ledger().is_none() && mirror.shown().unwrap().is_none());
    mirror.watch(|_, _, _| Err(io::Error::new(io::ErrorKind::Other, "enough")));
    assert!(mirror.update().unwrap_err().message.contains("enough"));
    let seen = Arc::new(Mutex::new((0, 0, 0)));
    let last = seen.clone();
    mirror.watch(move |done, total, bytes| {
        *last.lock().unwrap() = (done, total, bytes);
        Ok(())
    });
    assert_eq!(mirror.update().unwrap(), 9);
    let stats = mirror.stats().unwrap();
    assert!(stats.files >= 4 && stats.received == stats.decoded);
    assert_eq!(seen.lock().unwrap().0, 9);
    assert_eq!(mirror.ledger().unwrap().summary().unwrap(), ledger.summary().unwrap());
    let shown = mirror.shown().unwrap().unwrap().into_bytes();
    assert_eq!(mirror.ledger().unwrap().resource("checkpoint").unwrap(), shown);
    options.quorum = 2;
    refused(Status::INVALID_ARGUMENT, Mirror::new(&context, &options));
    drop(mirror);

    let mut options = MirrorOptions::new(&url, ORIGIN, me.public_key());
    options.remote = remote;
    options.skip_signatures = true;
    let broken = files.lock().unwrap().insert("tile/entries/000.p/9".into(), b"what".to_vec());
    let mut mirror = Mirror::new(&context, &options).unwrap();
    refused(Status::MALFORMED, mirror.update());
    files.lock().unwrap().insert("tile/entries/000.p/9".into(), broken.unwrap());
    assert_eq!(mirror.update().unwrap(), 9);

    let no = Remote::new().no_tls_verify().ca_file("/nowhere").unwrap().user("a:b").unwrap();
    let no = no.sigv4("aws:amz:eu-1:s3").unwrap().proxy("http://127.0.0.1:1").unwrap().retries(0);
    refused(Status::UNAVAILABLE, ledger.publish_url(&url, &no));
}
