//! The log as the rest of the world reads it: published files, witnesses, proofs to carry away (C2SP
//! tlog-tiles, tlog-cosignature, tlog-witness, tlog-proof). `<pluralis/tlog.h>` is the manual.
use std::ffi::{c_void, CStr, CString};
use std::io;
use std::os::raw::c_char;
use std::path::Path;
use std::ptr::{null, NonNull};

use crate::error::{call, check, Result, Status};
use crate::ffi::{bytes_of, c_path, c_text, create, defaults, u32_len};
use crate::identity::PublicKey;
use crate::io::Outcome;
use crate::{sys, Context, Hash, Identity};

use super::Ledger;

/// A witness as others know it: name and public key.
pub type WitnessKey<'a> = (&'a str, PublicKey);

/// What C borrows of witness keys.
pub(super) struct Keys {
    _names: Vec<CString>,
    pub(super) raw: Vec<sys::plr_witness_key>,
}

impl Keys {
    pub(super) fn new(keys: &[WitnessKey<'_>]) -> Result<Keys> {
        let names = keys.iter().map(|(name, _)| c_text("witness", name)).collect::<Result<Vec<_>>>()?;
        let raw = names.iter().zip(keys);
        let raw = raw.map(|(name, (_, key))| sys::plr_witness_key { name: name.as_ptr(), public_key: *key });
        let raw = raw.collect();
        Ok(Keys { _names: names, raw })
    }
}

/// What makes one file durable: (path, data, never changes).
type Put<'a> = &'a mut dyn FnMut(&str, &[u8], bool) -> io::Result<()>;

struct Publishing<'a> {
    put: Put<'a>,
    outcome: Outcome,
}

// Called by C with the user that `publish_with` gave it.
unsafe extern "C" fn put(
    user: *mut c_void,
    path: *const c_char,
    data: *const c_void,
    len: usize,
    immutable: i32,
) -> sys::plr_status {
    let Publishing { put, outcome } = &mut *user.cast::<Publishing<'_>>();
    let path = CStr::from_ptr(path).to_string_lossy();
    let data = if len == 0 { &[][..] } else { std::slice::from_raw_parts(data.cast::<u8>(), len) };
    outcome.run(|| put(&path, data, immutable != 0))
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| Status::INTERNAL.into())
}

impl Ledger {
    /// One file of the published log by its path: `checkpoint`, `tile/0/000`, `tile/entries/000.p/3`.
    /// `MALFORMED`, `NOT_FOUND`.
    pub fn resource(&mut self, path: &str) -> Result<Vec<u8>> {
        let path = c_text("resource", path)?;
        // Safety: a live ledger and a text; at most `cap` bytes are written.
        bytes_of(8192, |out, cap, len, err| unsafe {
            sys::plr_ledger_resource(self.ptr(), path.as_ptr(), out.cast(), cap, len, err)
        })
    }

    /// Publishes what the recorded checkpoint needs to a folder, the checkpoint last. Entries under it.
    /// `INVALID_STATE` (none was signed), `IO`, `NO_SPACE`.
    pub fn publish(&mut self, folder: impl AsRef<Path>) -> Result<u64> {
        let folder = c_path(folder.as_ref())?;
        let mut size = 0;
        // Safety: a live ledger and a text.
        call(|err| unsafe { sys::plr_ledger_publish_path(self.ptr(), folder.as_ptr(), &mut size, err) })?;
        Ok(size)
    }

    /// The same with a function that makes one file durable: (path, data, never changes).
    pub fn publish_with(&mut self, mut to: impl FnMut(&str, &[u8], bool) -> io::Result<()>) -> Result<u64> {
        let mut publishing = Publishing { put: &mut to, outcome: Outcome::default() };
        let user = (&mut publishing as *mut Publishing<'_>).cast();
        let publisher = sys::plr_publisher { user, put: Some(put) };
        let mut size = 0;
        // Safety: a live ledger; the publisher lives during the call.
        let result = call(|err| unsafe { sys::plr_ledger_publish(self.ptr(), &publisher, &mut size, err) });
        publishing.outcome.settle(result)?;
        Ok(size)
    }

    /// Body of a POST to a witness's add-checkpoint, for one that has seen `old_size` entries.
    pub fn witness_request(&mut self, old_size: u64) -> Result<String> {
        // Safety: a live ledger; at most `cap` bytes are written.
        text(bytes_of(8192, |out, cap, len, err| unsafe {
            sys::plr_ledger_witness_request(self.ptr(), old_size, out.cast(), cap, len, err)
        })?)
    }

    /// Adds a witness's line from its answer to the recorded checkpoint. `SIGNATURE`, `MALFORMED`.
    pub fn cosign(&mut self, witness: WitnessKey<'_>, lines: &str) -> Result<()> {
        let keys = Keys::new(&[witness])?;
        // Safety: a live ledger; one key and the lines are read.
        call(|err| unsafe {
            let (text, len) = (lines.as_ptr().cast(), lines.len());
            sys::plr_ledger_cosign(self.ptr(), keys.raw.as_ptr(), text, len, err)
        })
    }

    /// Refuses to go on when `note`, a checkpoint seen elsewhere, is of more entries than there are here
    /// (`SEQUENCE`) or of another history (`MISMATCH`).
    pub fn guard(&mut self, note: &str) -> Result<()> {
        // Safety: a live ledger; the note is read.
        call(|err| unsafe { sys::plr_ledger_guard(self.ptr(), note.as_ptr().cast(), note.len(), err) })
    }

    /// A proof file that entry `index` is under the recorded checkpoint. `INVALID_STATE`, `NOT_FOUND`.
    pub fn proof(&mut self, index: u64) -> Result<String> {
        // Safety: a live ledger; at most `cap` bytes are written.
        text(bytes_of(8192, |out, cap, len, err| unsafe {
            sys::plr_ledger_proof(self.ptr(), index, out.cast(), cap, len, err)
        })?)
    }
}

/// The verifier key of a witness (type 04).
pub fn cosigner_vkey(name: &str, public_key: &PublicKey) -> Result<String> {
    let name = c_text("vkey", name)?;
    let (mut buffer, mut len) = (vec![0u8; 256], 0);
    // Safety: the name and 32 bytes are read, at most the buffer is written.
    check(unsafe {
        let (out, cap) = (buffer.as_mut_ptr().cast(), buffer.len());
        sys::plr_log_cosigner_vkey(name.as_ptr(), public_key.as_ptr(), out, cap, &mut len)
    })?;
    buffer.truncate(len);
    text(buffer)
}

/// Counts the witnesses whose cosignature on a checkpoint holds, and gives the latest of their times.
pub fn count_cosignatures(context: &Context, note: &str, witnesses: &[WitnessKey<'_>]) -> Result<(u32, u64)> {
    let keys = Keys::new(witnesses)?;
    let count = u32_len("witnesses", keys.raw.len())?;
    let (mut good, mut time) = (0, 0);
    // Safety: a live context; the note and `count` keys are read.
    call(|err| unsafe {
        let (text, len, keys) = (note.as_ptr().cast(), note.len(), keys.raw.as_ptr());
        let context = context.as_ptr();
        sys::plr_log_count_cosignatures(context, text, len, keys, count, &mut good, &mut time, err)
    })?;
    Ok((good, time))
}

/// `Ok` when the two checkpoints prove that the log showed two histories; `PROOF` when they do not.
pub fn verify_fork(a: &str, b: &str, origin: &str, public_key: &PublicKey) -> Result<()> {
    let origin = c_text("fork", origin)?;
    // Safety: the notes, the origin and 32 bytes are read.
    call(|err| unsafe {
        let (origin, key) = (origin.as_ptr(), public_key.as_ptr());
        let (a_len, b_len) = (a.len(), b.len());
        sys::plr_log_verify_fork(a.as_ptr().cast(), a_len, b.as_ptr().cast(), b_len, origin, key, err)
    })
}

/// What a proof file is checked against.
pub struct ProofPolicy<'a> {
    /// Name of the log.
    pub origin: &'a str,
    /// Of the log.
    pub public_key: PublicKey,
    /// Witnesses that count.
    pub witnesses: &'a [WitnessKey<'a>],
    /// How many of them must have signed.
    pub quorum: u32,
}

/// Checks that a proof file shows that `entry` is in the log; its index and the size of the log then.
/// `MALFORMED`, `PROOF`, `SIGNATURE`, `MISMATCH`.
pub fn verify_proof(
    context: &Context,
    proof: &str,
    entry: &[u8],
    policy: &ProofPolicy<'_>,
) -> Result<(u64, u64)> {
    let (origin, keys) = (c_text("proof", policy.origin)?, Keys::new(policy.witnesses)?);
    // Safety: the `_init` function of these options.
    let mut raw = unsafe { defaults(|o, size| sys::plr_proof_policy_init(o, size)) };
    raw.origin = origin.as_ptr();
    raw.public_key = policy.public_key.as_ptr();
    raw.witnesses = keys.raw.as_ptr();
    raw.witness_count = u32_len("witnesses", keys.raw.len())?;
    raw.quorum = policy.quorum;
    let (mut index, mut size) = (0, 0);
    // Safety: a live context; proof, entry and all that the policy points to live during the call.
    call(|err| unsafe {
        let (text, len) = (proof.as_ptr().cast(), proof.len());
        let (entry, entry_len) = (entry.as_ptr().cast(), entry.len());
        let context = context.as_ptr();
        sys::plr_log_verify_proof(context, text, len, entry, entry_len, &raw, &mut index, &mut size, err)
    })?;
    Ok((index, size))
}

/// What a witness has signed, kept by the host. It must never forget.
pub trait WitnessStore: Send {
    /// Last size and root signed of the log whose origin has this SHA-256.
    fn load(&mut self, origin: &Hash) -> io::Result<Option<(u64, Hash)>>;
    /// Replaces it durably if it still is `old`; `false` when it is not.
    fn swap(&mut self, origin: &Hash, old: Option<(u64, Hash)>, new: (u64, Hash)) -> io::Result<bool>;
}

struct Store {
    host: Box<dyn WitnessStore>,
    outcome: Outcome,
}

unsafe fn hash_at(at: *const sys::plr_hash) -> Hash {
    Hash((*at).bytes)
}

// Called by C with the user that `Witness::new` gave it.
unsafe extern "C" fn load(
    user: *mut c_void,
    origin: *const sys::plr_hash,
    size: *mut u64,
    root: *mut sys::plr_hash,
) -> sys::plr_status {
    let Store { host, outcome } = &mut *user.cast::<Store>();
    let (origin, mut found) = (hash_at(origin), None);
    let status = outcome.run(|| {
        found = host.load(&origin)?;
        Ok(())
    });
    match (status, found) {
        (sys::PLR_OK, None) => sys::PLR_ERR_NOT_FOUND,
        (sys::PLR_OK, Some((n, hash))) => {
            *size = n;
            (*root).bytes = hash.0;
            sys::PLR_OK
        }
        (status, _) => status,
    }
}

// The same.
unsafe extern "C" fn swap(
    user: *mut c_void,
    origin: *const sys::plr_hash,
    old_size: u64,
    old_root: *const sys::plr_hash,
    new_size: u64,
    new_root: *const sys::plr_hash,
) -> sys::plr_status {
    let Store { host, outcome } = &mut *user.cast::<Store>();
    let (origin, new) = (hash_at(origin), (new_size, hash_at(new_root)));
    let old = if old_size > 0 { Some((old_size, hash_at(old_root))) } else { None };
    let mut done = false;
    let status = outcome.run(|| {
        done = host.swap(&origin, old, new)?;
        Ok(())
    });
    match status {
        sys::PLR_OK if !done => sys::PLR_ERR_SEQUENCE,
        status => status,
    }
}

/// Signs checkpoints of logs it knows, when they extend what it signed before.
pub struct Witness {
    ptr: NonNull<sys::plr_witness>,
    store: Option<Box<Store>>,
    _identity: Identity,
    _context: Context,
}

// Safety: <pluralis/base.h>: used by one thread at a time, any of them; the store is Send.
unsafe impl Send for Witness {}

impl Drop for Witness {
    fn drop(&mut self) {
        // Safety: a live witness; its store and identity are dropped after this.
        unsafe { sys::plr_witness_destroy(self.ptr.as_ptr()) }
    }
}

impl Witness {
    /// A witness whose key signs nothing else. Without a store it keeps its state in memory: for tests.
    pub fn new(
        context: &Context,
        name: &str,
        identity: &Identity,
        store: Option<Box<dyn WitnessStore>>,
    ) -> Result<Witness> {
        let name = c_text("witness.name", name)?;
        let mut store = store.map(|host| Box::new(Store { host, outcome: Outcome::default() }));
        let raw = store.as_mut().map(|store| sys::plr_witness_store {
            user: (&mut **store as *mut Store).cast(),
            load: Some(load),
            swap: Some(swap),
        });
        // Safety: a live context and identity; the store is copied, and what it points to is boxed.
        let ptr = create(|out, err| unsafe {
            let raw = raw.as_ref().map_or(null(), |raw| raw as *const _);
            sys::plr_witness_create(context.as_ptr(), name.as_ptr(), identity.as_ptr(), raw, out, err)
        })?;
        Ok(Witness { ptr, store, _identity: identity.clone(), _context: context.clone() })
    }

    /// Makes a log known. `EXISTS`.
    pub fn add_log(&mut self, origin: &str, public_key: &PublicKey) -> Result<()> {
        let origin = c_text("witness", origin)?;
        // Safety: a live witness; a text and 32 bytes are read.
        call(|err| unsafe {
            sys::plr_witness_add_log(self.ptr.as_ptr(), origin.as_ptr(), public_key.as_ptr(), err)
        })
    }

    /// Answers one add-checkpoint request at `now_s` seconds since 1970: HTTP status and body.
    pub fn add_checkpoint(&mut self, now_s: u64, body: &str) -> Result<(u32, String)> {
        let (mut http, mut len, mut answer) = (0, 0, vec![0u8; 1024]);
        // Safety: a live witness; the body is read, at most the answer is written.
        let result = check(unsafe {
            let (text, text_len) = (body.as_ptr().cast(), body.len());
            let (out, cap) = (answer.as_mut_ptr().cast(), answer.len());
            let witness = self.ptr.as_ptr();
            sys::plr_witness_add_checkpoint(witness, now_s, text, text_len, &mut http, out, cap, &mut len)
        });
        match &mut self.store {
            Some(store) => store.outcome.settle(result)?,
            None => result?,
        }
        answer.truncate(len);
        Ok((http, text(answer)?))
    }
}
