use std::collections::HashMap;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex};

use pluralis::ledger::entry::{self, EntryOptions};
use pluralis::ledger::log;
use pluralis::ledger::publish::{self, ProofPolicy, Witness, WitnessStore};
use pluralis::*;

use crate::pipeline::key;
use crate::support::*;

const NAME: &str = "witness.example/w";

fn open(context: &Context) -> (Ledger, Identity) {
    let me = key(context, 70);
    let options = LedgerOptions::new().origin(ORIGIN).sequencer(&me);
    (Ledger::open(context, &options).unwrap(), me)
}

fn grow(context: &Context, ledger: &mut Ledger, number: usize) -> String {
    let options = EntryOptions::new(&key(context, number), ORIGIN, 1);
    ledger.append(&entry::account_open(context, &options).unwrap()).unwrap();
    ledger.checkpoint().unwrap()
}

#[test]
fn a_log_is_published() {
    let context = context();
    let (mut ledger, _me) = open(&context);
    refused(Status::NOT_FOUND, ledger.resource("checkpoint"));
    refused(Status::MALFORMED, ledger.resource("tile/0/1"));
    refused(Status::INVALID_STATE, ledger.publish_with(|_, _, _| Ok(())));
    let note = grow(&context, &mut ledger, 71);
    let mut site = Vec::new();
    let put = |path: &str, data: &[u8], fixed: bool| {
        site.push((path.to_string(), data.to_vec(), fixed));
        Ok(())
    };
    assert_eq!(ledger.publish_with(put).unwrap(), 2);
    assert_eq!(site.len(), 3);
    assert_eq!(site[2], ("checkpoint".to_string(), note.into_bytes(), false));
    for (path, data, _) in &site {
        assert_eq!(&ledger.resource(path).unwrap(), data);
    }
    let tile = site.iter().find(|(path, ..)| path == "tile/0/000.p/2").unwrap();
    assert_eq!(tile.1[32..], log::leaf_hash(&ledger.entry(1).unwrap()).0);

    let folder = Folder::new();
    grow(&context, &mut ledger, 72);
    assert_eq!(ledger.publish(folder.join("site")).unwrap(), 3);
    assert!(folder.join("site/tile/entries/000.p/3").exists());
    grow(&context, &mut ledger, 73);
    let broken =
        |_: &str, _: &[u8], _: bool| Err(io::Error::new(io::ErrorKind::Other, "no room on the moon"));
    assert!(ledger.publish_with(broken).unwrap_err().message.contains("moon"));
    let panics = |_: &str, _: &[u8], _: bool| panic!("as asked");
    assert!(catch_unwind(AssertUnwindSafe(|| ledger.publish_with(panics))).is_err());
    assert_eq!(ledger.publish(folder.join("site")).unwrap(), 4);
}

#[derive(Default)]
struct Kept(Arc<Mutex<HashMap<Hash, (u64, Hash)>>>, bool);

impl WitnessStore for Kept {
    fn load(&mut self, origin: &Hash) -> io::Result<Option<(u64, Hash)>> {
        Ok(self.0.lock().unwrap().get(origin).copied())
    }
    fn swap(&mut self, origin: &Hash, old: Option<(u64, Hash)>, new: (u64, Hash)) -> io::Result<bool> {
        let mut kept = self.0.lock().unwrap();
        if self.1 || kept.get(origin).copied() != old {
            return Ok(false);
        }
        kept.insert(*origin, new);
        Ok(true)
    }
}

#[test]
fn witnesses_and_proofs() {
    let context = context();
    let (mut ledger, me) = open(&context);
    let own = key(&context, 80);
    grow(&context, &mut ledger, 71);
    let kept = Kept::default();
    let shared = kept.0.clone();
    let mut witness = Witness::new(&context, NAME, &own, Some(Box::new(kept))).unwrap();
    witness.add_log(ORIGIN, &me.public_key()).unwrap();
    refused(Status::EXISTS, witness.add_log(ORIGIN, &me.public_key()));
    let request = ledger.witness_request(0).unwrap();
    let (status, lines) = witness.add_checkpoint(1_700_000_000, &request).unwrap();
    assert_eq!(status, 200);
    assert_eq!(shared.lock().unwrap().len(), 1);
    ledger.cosign((NAME, own.public_key()), &lines).unwrap();
    refused(Status::SIGNATURE, ledger.cosign(("witness.example/other", own.public_key()), &lines));
    assert_eq!(witness.add_checkpoint(0, &request).unwrap(), (409, "2\n".to_string()));
    let note = String::from_utf8(ledger.resource("checkpoint").unwrap()).unwrap();
    let keys = [(NAME, own.public_key())];
    assert_eq!(publish::count_cosignatures(&context, &note, &keys).unwrap(), (1, 1_700_000_000));
    assert!(publish::cosigner_vkey(NAME, &own.public_key()).unwrap().starts_with(NAME));

    let (proof, entry) = (ledger.proof(1).unwrap(), ledger.entry(1).unwrap());
    let mut policy = ProofPolicy { origin: ORIGIN, public_key: me.public_key(), witnesses: &keys, quorum: 1 };
    assert_eq!(publish::verify_proof(&context, &proof, &entry, &policy).unwrap(), (1, 2));
    refused(Status::PROOF, publish::verify_proof(&context, &proof, b"another", &policy));
    policy.quorum = 2;
    refused(Status::SIGNATURE, publish::verify_proof(&context, &proof, &entry, &policy));

    let mut in_memory = Witness::new(&context, NAME, &own, None).unwrap();
    assert_eq!(in_memory.add_checkpoint(0, &request).unwrap().0, 404);
}

#[test]
fn two_histories() {
    let context = context();
    let (mut ledger, me) = open(&context);
    let (mut twin, _) = open(&context);
    let ours = grow(&context, &mut ledger, 71);
    let theirs = grow(&context, &mut twin, 72);
    ledger.guard(&ours).unwrap();
    publish::verify_fork(&ours, &theirs, ORIGIN, &me.public_key()).unwrap();
    refused(Status::PROOF, publish::verify_fork(&ours, &ours, ORIGIN, &me.public_key()));
    refused(Status::MISMATCH, twin.guard(&ours));
    refused(Status::MISMATCH, twin.checkpoint());
}
