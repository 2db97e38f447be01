use std::collections::HashMap;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pluralis::ledger::entry::{self, EntryOptions};
use pluralis::ledger::log::VerifyOptions;
use pluralis::ledger::store::{self, LedgerStore};
use pluralis::*;

use crate::pipeline::key;
use crate::support::*;

/// In memory, but it outlives the ledger; `fail` names a method that fails, `panic` one that panics.
#[derive(Default)]
struct Kept {
    rows: Vec<Vec<u8>>,
    records: HashMap<String, Vec<u8>>,
    before: Option<(usize, HashMap<String, Vec<u8>>)>,
    fail: &'static str,
    panic: &'static str,
    compacted: usize,
}

impl Kept {
    fn may(&self, method: &str) -> io::Result<()> {
        assert_ne!(self.panic, method);
        match self.fail == method {
            true => Err(io::Error::new(io::ErrorKind::Other, "the disc is gone")),
            false => Ok(()),
        }
    }
}

impl LedgerStore for Kept {
    fn begin(&mut self) -> io::Result<()> {
        self.may("begin")?;
        self.before = Some((self.rows.len(), self.records.clone()));
        Ok(())
    }
    fn append(&mut self, index: u64, row: &[u8]) -> io::Result<()> {
        self.may("append")?;
        assert_eq!(index, self.rows.len() as u64);
        self.rows.push(row.to_vec());
        Ok(())
    }
    fn put(&mut self, name: &str, data: Option<&[u8]>) -> io::Result<()> {
        self.may("put")?;
        match data {
            Some(data) => self.records.insert(name.to_string(), data.to_vec()),
            None => self.records.remove(name),
        };
        Ok(())
    }
    fn commit(&mut self) -> io::Result<()> {
        self.may("commit")?;
        self.before = None;
        Ok(())
    }
    fn rollback(&mut self) {
        if let Some((rows, records)) = self.before.take() {
            self.rows.truncate(rows);
            self.records = records;
        }
    }
    fn row(&mut self, index: u64) -> io::Result<Option<Vec<u8>>> {
        self.may("row")?;
        Ok(self.rows.get(index as usize).cloned())
    }
    fn get(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.may("get")?;
        Ok(self.records.get(name).cloned())
    }
    fn compact(&mut self) -> io::Result<()> {
        self.compacted += 1;
        Ok(())
    }
}

fn grow(context: &Context, ledger: &mut Ledger, number: usize) -> Result<u64> {
    let options = EntryOptions::new(&key(context, number), ORIGIN, 1);
    ledger.append(&entry::account_open(context, &options).unwrap())
}

fn of(kept: &Arc<Mutex<Kept>>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner) // a method panicked, as asked
}

#[test]
fn a_store_of_the_hosts() {
    let context = context();
    let kept = Arc::new(Mutex::new(Kept::default()));
    let reader = LedgerOptions::new().store(kept.clone());
    let writer = reader.clone().origin(ORIGIN).sequencer(&key(&context, 80));
    refused(Status::NOT_FOUND, Ledger::open(&context, &reader));
    let mut ledger = Ledger::open(&context, &writer).unwrap();
    grow(&context, &mut ledger, 81).unwrap();
    for method in ["begin", "append", "put", "commit"] {
        let before = ledger.summary().unwrap();
        of(&kept).fail = method;
        let error = grow(&context, &mut ledger, 82).unwrap_err();
        assert_eq!((error.status, &*error.message), (Status::IO, "the disc is gone"));
        of(&kept).fail = "";
        of(&kept).panic = method;
        let error = grow(&context, &mut ledger, 82).unwrap_err();
        assert_eq!((error.status, &*error.message), (Status::IO, "the store panicked"));
        of(&kept).panic = "";
        assert_eq!(ledger.summary().unwrap(), before);
    }
    grow(&context, &mut ledger, 82).unwrap();
    ledger.compact().unwrap();
    assert_eq!(of(&kept).compacted, 1);
    let want = ledger.summary().unwrap();
    drop(ledger);
    let mut again = Ledger::open(&context, &reader).unwrap();
    assert_eq!(again.summary().unwrap(), want);
    refused(Status::INVALID_STATE, again.compact());
    refused(Status::INVALID_ARGUMENT, Ledger::open(&context, &reader.clone().path("a.db")));
}

#[test]
fn from_published_files_alone() {
    let context = context();
    let me = key(&context, 80);
    let mut ledger = Ledger::open(&context, &LedgerOptions::new().origin(ORIGIN).sequencer(&me)).unwrap();
    for number in 83..88 {
        grow(&context, &mut ledger, number).unwrap();
    }
    let against = || VerifyOptions::new(ORIGIN, me.public_key());
    let kept = Arc::new(Mutex::new(Kept::default()));
    let options = LedgerOptions::new().store(kept.clone());
    refused(Status::NOT_FOUND, store::rebuild_with(&context, &options, |_| Ok(None), against()));
    ledger.checkpoint().unwrap();
    let folder = Folder::new();
    ledger.publish(folder.join("site")).unwrap();
    let read = |path: &str| std::fs::read(folder.join("site").join(path)).map(Some);
    let other = VerifyOptions::new(ORIGIN, key(&context, 90).public_key());
    refused(Status::SIGNATURE, store::rebuild_with(&context, &options, read, other));
    let mut seen = Vec::new();
    let watched = against().progress(|done, total| seen.push((done, total)));
    let got = store::rebuild_with(&context, &options, read, watched).unwrap();
    assert_eq!(got, ledger.summary().unwrap());
    assert_eq!(seen.last(), Some(&(6, 6)));
    assert_eq!(of(&kept).rows.len(), 6);
    let file = LedgerOptions::new().path(folder.join("copy.db"));
    assert_eq!(store::rebuild(&context, &file, folder.join("site"), against()).unwrap(), got);
    assert_eq!(Ledger::open(&context, &file).unwrap().summary().unwrap(), got);
    let broken = |path: &str| {
        let mut data = std::fs::read(folder.join("site").join(path))?;
        if path.starts_with("tile/entries") {
            data[50] ^= 1;
        }
        Ok(Some(data))
    };
    let fresh = LedgerOptions::new().path(folder.join("other.db"));
    refused(Status::CHECKSUM, store::rebuild_with(&context, &fresh, broken, against()));
    let panics = |_: &str| panic!("as asked");
    assert!(
        catch_unwind(AssertUnwindSafe(|| store::rebuild_with(&context, &fresh, panics, against()))).is_err()
    );
    refused(Status::INVALID_ARGUMENT, store::rebuild_with(&context, &LedgerOptions::new(), read, against()));
}
