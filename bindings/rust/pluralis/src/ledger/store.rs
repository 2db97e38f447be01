//! Where a ledger is kept when it is not an SQLite file, and ledgers made from published files alone.
use std::ffi::{c_void, CStr};
use std::io;
use std::os::raw::c_char;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{call, Result};
use crate::ffi::{c_path, sized, FromC};
use crate::io::{status_of, Outcome};
use crate::{sys, Context};

use super::log::VerifyOptions;
use super::{LedgerOptions, Summary};

/// A store of your own: rows, numbered from 0, that are only ever appended, and a few records by name that
/// are replaced.
///
/// What is written between `begin` and `commit` is one transaction: when `commit` succeeds all of it is
/// durable; before, a crash leaves all of it or none. After `rollback`, which also follows a `commit` that
/// failed, none of it is there. `row` and `get` see what was committed; nothing is read inside a
/// transaction. One writer at a time is the host's to ensure. An error is the ledger's, with its text; so is
/// a panic.
pub trait LedgerStore: Send {
    /// Begins a transaction.
    fn begin(&mut self) -> io::Result<()>;
    /// Appends row `index`, the next one.
    fn append(&mut self, index: u64, row: &[u8]) -> io::Result<()>;
    /// Replaces a record, or removes it.
    fn put(&mut self, name: &str, data: Option<&[u8]>) -> io::Result<()>;
    /// Makes the transaction durable.
    fn commit(&mut self) -> io::Result<()>;
    /// Forgets the transaction, if there is one.
    fn rollback(&mut self);
    /// A row.
    fn row(&mut self, index: u64) -> io::Result<Option<Vec<u8>>>;
    /// A record.
    fn get(&mut self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Gives unused space back.
    fn compact(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A store that ledger and host share.
pub type SharedStore = Arc<Mutex<dyn LedgerStore>>;

/// What C calls, at an address that does not change.
pub(super) struct Bridge {
    store: SharedStore,
    read: Vec<u8>,
}

impl Bridge {
    pub(super) fn new(store: &SharedStore) -> Box<Bridge> {
        Box::new(Bridge { store: store.clone(), read: Vec::new() })
    }

    pub(super) fn raw(&mut self) -> sys::plr_ledger_store {
        sys::plr_ledger_store {
            user: (self as *mut Bridge).cast(),
            begin: Some(begin),
            append: Some(append),
            put: Some(put),
            commit: Some(commit),
            rollback: Some(rollback),
            row: Some(row),
            get: Some(get),
            compact: Some(compact),
        }
    }
}

/// Runs a method of the store; what it fails with goes where C wants to be told.
///
/// Safety: `user` is a `Bridge`, `err` null or an initialised detail.
unsafe fn run<T>(
    user: *mut c_void,
    err: *mut sys::plr_error,
    method: impl FnOnce(&mut dyn LedgerStore) -> io::Result<T>,
) -> std::result::Result<T, sys::plr_status> {
    let bridge = &*user.cast::<Bridge>();
    let run = || method(&mut *bridge.store.lock().unwrap_or_else(PoisonError::into_inner));
    let (status, text) = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => (status_of(&error), error.to_string()),
        Err(_) => (sys::PLR_ERR_IO, "the store panicked".to_string()),
    };
    if let Some(err) = err.as_mut() {
        err.status = status;
        tell(&mut err.where_, "ledger.store");
        tell(&mut err.message, &text);
    }
    Err(status)
}

/// Writes a text with its NUL, cut where there is no more room.
fn tell(to: &mut [c_char], text: &str) {
    let room = to.len() - 1;
    let bytes = text.bytes().filter(|byte| *byte != 0).take(room).chain(std::iter::once(0));
    for (to, byte) in to.iter_mut().zip(bytes) {
        *to = byte as c_char;
    }
}

fn done(result: std::result::Result<(), sys::plr_status>) -> sys::plr_status {
    result.err().unwrap_or(sys::PLR_OK)
}

/// Safety: of C's callback.
unsafe fn bytes<'a>(data: *const c_void, len: usize) -> &'a [u8] {
    if len == 0 {
        return &[];
    }
    std::slice::from_raw_parts(data.cast(), len)
}

/// Safety: of C's callback.
unsafe fn name_of<'a>(name: *const c_char) -> std::borrow::Cow<'a, str> {
    CStr::from_ptr(name).to_string_lossy()
}

/// Keeps what was read until the next call, and says where it is.
///
/// Safety: of C's callback.
unsafe fn give(
    user: *mut c_void,
    found: std::result::Result<Option<Vec<u8>>, sys::plr_status>,
    data: *mut *const c_void,
    len: *mut usize,
) -> sys::plr_status {
    match found {
        Err(status) => status,
        Ok(None) => sys::PLR_ERR_NOT_FOUND,
        Ok(Some(found)) => {
            let bridge = &mut *user.cast::<Bridge>();
            bridge.read = found;
            *data = bridge.read.as_ptr().cast();
            *len = bridge.read.len();
            sys::PLR_OK
        }
    }
}

// Called by C with the user that `raw` gave it.
unsafe extern "C" fn begin(user: *mut c_void, err: *mut sys::plr_error) -> sys::plr_status {
    done(run(user, err, |store| store.begin()))
}

unsafe extern "C" fn append(
    user: *mut c_void,
    index: u64,
    row: *const c_void,
    len: usize,
    err: *mut sys::plr_error,
) -> sys::plr_status {
    done(run(user, err, |store| store.append(index, bytes(row, len))))
}

unsafe extern "C" fn put(
    user: *mut c_void,
    name: *const c_char,
    data: *const c_void,
    len: usize,
    err: *mut sys::plr_error,
) -> sys::plr_status {
    done(run(user, err, |store| store.put(&name_of(name), (len > 0).then(|| bytes(data, len)))))
}

unsafe extern "C" fn commit(user: *mut c_void, err: *mut sys::plr_error) -> sys::plr_status {
    done(run(user, err, |store| store.commit()))
}

unsafe extern "C" fn rollback(user: *mut c_void) {
    done(run(user, std::ptr::null_mut(), |store| {
        store.rollback();
        Ok(())
    }));
}

unsafe extern "C" fn row(
    user: *mut c_void,
    index: u64,
    data: *mut *const c_void,
    len: *mut usize,
    err: *mut sys::plr_error,
) -> sys::plr_status {
    give(user, run(user, err, |store| store.row(index)), data, len)
}

unsafe extern "C" fn get(
    user: *mut c_void,
    name: *const c_char,
    data: *mut *const c_void,
    len: *mut usize,
    err: *mut sys::plr_error,
) -> sys::plr_status {
    give(user, run(user, err, |store| store.get(&name_of(name))), data, len)
}

unsafe extern "C" fn compact(user: *mut c_void, err: *mut sys::plr_error) -> sys::plr_status {
    done(run(user, err, |store| store.compact()))
}

/// Gives a published file by its path (`checkpoint`, `tile/0/000`).
type Read<'a> = &'a mut dyn FnMut(&str) -> io::Result<Option<Vec<u8>>>;

struct Reading<'a> {
    read: Read<'a>,
    last: Option<(String, Vec<u8>)>, // C asks a second time for a file longer than it thought
    outcome: Outcome,
}

// Called by C with the user that `rebuild_with` gave it.
unsafe extern "C" fn read(
    user: *mut c_void,
    path: *const c_char,
    buffer: *mut c_void,
    cap: usize,
    len: *mut usize,
) -> sys::plr_status {
    let Reading { read, last, outcome } = &mut *user.cast::<Reading<'_>>();
    let path = name_of(path);
    let mut found = last.take().filter(|(name, _)| *name == path).map(|(_, data)| data);
    if found.is_none() {
        let status = outcome.run(|| {
            found = read(&path)?;
            Ok(())
        });
        if status != sys::PLR_OK {
            return status;
        }
    }
    let data = match found {
        Some(data) => data,
        None => return sys::PLR_ERR_NOT_FOUND,
    };
    *len = data.len();
    if data.len() > cap {
        *last = Some((path.into_owned(), data));
        return sys::PLR_ERR_BUFFER_TOO_SMALL;
    }
    std::ptr::copy_nonoverlapping(data.as_ptr(), buffer.cast(), data.len());
    sys::PLR_OK
}

/// Makes a ledger from its published files alone, in the path or store of `options`, or adds what is missing
/// to one that has the beginning of it. Nothing is kept before its hash was found under the signed root, and
/// every entry is replayed as [`verify`](super::log::verify) does. `read` gives a file by its path
/// (`checkpoint`, `tile/0/000`), or `None` when there is none. `CHECKSUM`, `SEQUENCE` (the store has more),
/// `MISMATCH` (another history), `NOT_FOUND`, `SIGNATURE`.
pub fn rebuild_with(
    context: &Context,
    options: &LedgerOptions,
    mut from: impl FnMut(&str) -> io::Result<Option<Vec<u8>>>,
    against: VerifyOptions<'_>,
) -> Result<Summary> {
    let mut reading = Reading { read: &mut from, last: None, outcome: Outcome::default() };
    let reader = sys::plr_log_reader { user: (&mut reading as *mut Reading<'_>).cast(), read: Some(read) };
    let result = rebuild_from(options, against, |options, against, summary, err| {
        // Safety: a live context; all that is pointed to lives during the call.
        unsafe { sys::plr_ledger_rebuild(context.as_ptr(), options, &reader, against, summary, err) }
    });
    reading.outcome.settle(result)
}

/// The same from a folder that was published to, or a copy of it.
pub fn rebuild(
    context: &Context,
    options: &LedgerOptions,
    folder: impl AsRef<Path>,
    against: VerifyOptions<'_>,
) -> Result<Summary> {
    let folder = c_path(folder.as_ref())?;
    rebuild_from(options, against, |options, against, summary, err| {
        // Safety: a live context; all that is pointed to lives during the call.
        unsafe {
            sys::plr_ledger_rebuild_path(context.as_ptr(), options, folder.as_ptr(), against, summary, err)
        }
    })
}

fn rebuild_from(
    options: &LedgerOptions,
    against: VerifyOptions<'_>,
    function: impl FnOnce(
        *const sys::plr_ledger_options,
        *const sys::plr_verify_options,
        *mut sys::plr_ledger_summary,
        *mut sys::plr_error,
    ) -> sys::plr_status,
) -> Result<Summary> {
    // Safety: a struct with a struct_size.
    let mut summary: sys::plr_ledger_summary = unsafe { sized() };
    options
        .lend(|options| against.lend(|against| call(|err| function(options, against, &mut summary, err))))?;
    Ok(Summary::from_c(summary))
}
