//! Verifying for whoever holds a checkpoint or an export, and no ledger. Leaves, nodes and proofs are
//! those of RFC 6962, checkpoints are C2SP signed notes.
use std::os::raw::c_void;

use crate::error::{call, check, Result, Status};
use crate::ffi::{c_text, defaults, sized, u32_len, FromC};
use crate::identity::PublicKey;
use crate::io::{Outcome, Source};
use crate::{sys, Context, Hash};

use super::Summary;

/// SHA-256 of a zero byte and the entry.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut leaf = Hash::default();
    // Safety: the entry is read, 32 bytes are written.
    unsafe { sys::plr_log_leaf_hash(entry.as_ptr().cast(), entry.len(), leaf.as_mut_ptr()) };
    leaf
}

/// Checks that the entry with that leaf hash is number `index` of the tree of `size` entries with that
/// root (RFC 9162, 2.1.3.2). `PROOF` when it is not shown.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<()> {
    let count = u32_len("proof", proof.len())?;
    // Safety: `count` hashes are read.
    check(unsafe {
        let (leaf, root) = (leaf.as_ptr(), root.as_ptr());
        sys::plr_log_verify_inclusion(leaf, index, size, proof.as_ptr().cast(), count, root)
    })
}

/// Checks that the older tree is the beginning of the newer one; each is (size, root) (RFC 9162,
/// 2.1.4.2). `PROOF` when it is not shown.
pub fn verify_consistency(older: (u64, &Hash), newer: (u64, &Hash), proof: &[Hash]) -> Result<()> {
    let count = u32_len("proof", proof.len())?;
    // Safety: `count` hashes are read.
    check(unsafe {
        let (old_root, new_root) = (older.1.as_ptr(), newer.1.as_ptr());
        let proof = proof.as_ptr().cast();
        sys::plr_log_verify_consistency(older.0, old_root, newer.0, new_root, proof, count)
    })
}

/// Reads a checkpoint of the log `origin`, signed by `public_key`; signatures of others are ignored.
/// Gives size and root. `MALFORMED`, `MISMATCH` (origin), `SIGNATURE` (also of another log's note).
pub fn verify_checkpoint(note: &str, origin: &str, public_key: &PublicKey) -> Result<(u64, Hash)> {
    let origin = c_text("checkpoint", origin)?;
    let (mut size, mut root) = (0, Hash::default());
    // Safety: the note, the origin and 32 bytes are read.
    call(|err| unsafe {
        let (text, len, key) = (note.as_ptr().cast(), note.len(), public_key.as_ptr());
        let (origin, root) = (origin.as_ptr(), root.as_mut_ptr());
        sys::plr_log_verify_checkpoint(text, len, origin, key, &mut size, root, err)
    })?;
    Ok((size, root))
}

/// The verifier key that other tools are configured with: name, hash and key. `INVALID_ARGUMENT`: not a
/// log's name.
pub fn vkey(origin: &str, public_key: &PublicKey) -> Result<String> {
    let name = c_text("vkey", origin)?;
    let mut buffer = vec![0u8; 256];
    let mut len = 0;
    // Safety: the name and 32 bytes are read, at most the buffer is written. A name has at most 128
    // bytes, which with the rest fits.
    check(unsafe {
        let (out, cap) = (buffer.as_mut_ptr().cast(), buffer.len());
        sys::plr_log_vkey(name.as_ptr(), public_key.as_ptr(), out, cap, &mut len)
    })?;
    buffer.truncate(len);
    String::from_utf8(buffer).map_err(|_| Status::INTERNAL.into())
}

/// How an export is verified.
pub struct VerifyOptions<'a> {
    raw: sys::plr_verify_options,
    origin: String,
    public_key: PublicKey,
    progress: Option<Box<dyn FnMut(u64, u64) + 'a>>,
}

impl<'a> VerifyOptions<'a> {
    /// `origin`: name of the log. `public_key`: its sequencer's, learned from elsewhere than the export.
    pub fn new(origin: impl Into<String>, public_key: PublicKey) -> Self {
        VerifyOptions {
            // Safety: the `_init` function of these options.
            raw: unsafe { defaults(|o, size| sys::plr_verify_options_init(o, size)) },
            origin: origin.into(),
            public_key,
            progress: None,
        }
    }

    /// Believes the signatures of entries. The checkpoint's never is.
    #[must_use]
    pub fn skip_signatures(mut self) -> Self {
        self.raw.skip_signatures = 1;
        self
    }

    /// Calls `progress(entries done, entries in all)` now and then.
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(u64, u64) + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Runs `function` with the options as C reads them, during the call only.
    pub(super) fn lend(
        self,
        function: impl FnOnce(*const sys::plr_verify_options) -> Result<()>,
    ) -> Result<()> {
        let VerifyOptions { mut raw, origin, public_key, progress: mut report } = self;
        let origin = c_text("verify.origin", &origin)?;
        raw.origin = origin.as_ptr();
        raw.public_key = public_key.as_ptr();
        let report = match report.as_deref_mut() {
            Some(report) => report,
            None => return function(&raw),
        };
        let mut watched = Progress { report, outcome: Outcome::default() };
        raw.progress = Some(progress);
        raw.user = (&mut watched as *mut Progress<'_, '_>).cast();
        let result = function(&raw);
        watched.outcome.settle(result)
    }
}

struct Progress<'a, 'b> {
    report: &'b mut (dyn FnMut(u64, u64) + 'a),
    outcome: Outcome,
}

// Called by C with the user that `verify` gave it.
unsafe extern "C" fn progress(user: *mut c_void, done: u64, total: u64) {
    let Progress { report, outcome } = &mut *user.cast::<Progress<'_, '_>>();
    outcome.run(|| {
        report(done, total);
        Ok(())
    });
}

/// Reads an export and believes none of it: checks the checkpoint's signature, replays every entry from
/// nothing and compares every root. `MALFORMED`, `TRUNCATED`, `VERSION`, `MISMATCH`, `SIGNATURE`,
/// `CHECKSUM`, `CONSERVATION`, with the byte in `offset`.
pub fn verify(context: &Context, source: &mut Source<'_>, options: VerifyOptions<'_>) -> Result<Summary> {
    // Safety: a struct with a struct_size.
    let mut summary: sys::plr_ledger_summary = unsafe { sized() };
    options.lend(|raw| {
        source.lend(|source| {
            // Safety: a live context; all that the options point to lives during the call.
            call(|err| unsafe { sys::plr_ledger_verify(context.as_ptr(), source, raw, &mut summary, err) })
        })
    })?;
    Ok(Summary::from_c(summary))
}
