//! A copy of somebody's published ledger over HTTP; publication by PUT; witnesses asked over HTTP.
//! `<pluralis/mirror.h>` is the manual. A build without libcurl gives `UNSUPPORTED`.
use std::ffi::{c_void, CStr, CString};
use std::io;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::ptr::{null, NonNull};

use crate::error::{call, check, Result, Status};
use crate::ffi::{bytes_of, c_path, c_text, create, defaults, record, setters, sized, u32_len, FromC};
use crate::identity::PublicKey;
use crate::io::Outcome;
use crate::{sys, Context};

use super::publish::{Keys, WitnessKey};
use super::Ledger;

/// How files are carried.
#[derive(Clone)]
pub struct Remote {
    raw: sys::plr_remote_options,
    ca_file: Option<CString>,
    user: Option<CString>,
    sigv4: Option<CString>,
    proxy: Option<CString>,
}

// Safety: the pointers in `raw` are null; they are set for a call only.
unsafe impl Send for Remote {}
unsafe impl Sync for Remote {}

impl Default for Remote {
    fn default() -> Self {
        Remote::new()
    }
}

impl Remote {
    /// The defaults.
    pub fn new() -> Self {
        // Safety: the `_init` function of these options.
        let raw = unsafe { defaults(|o, size| sys::plr_remote_options_init(o, size)) };
        Remote { raw, ca_file: None, user: None, sigv4: None, proxy: None }
    }

    setters! {
        /// Transfers at once, 1 to 64; default 8.
        parallel: u32,
        /// Of one file, after failures that may pass; default 5.
        retries: u32,
        /// Before the first retry; default 500. Doubled for each further one.
        backoff_ms: u32,
        /// Default 10,000.
        connect_timeout_ms: u32,
        /// A transfer that moves nothing for so long is given up; default 30.
        stall_timeout_s: u32,
        /// Of one file in all; default 600,000.
        timeout_ms: u32,
    }

    /// Takes any certificate.
    #[must_use]
    pub fn no_tls_verify(mut self) -> Self {
        self.raw.no_tls_verify = 1;
        self
    }

    /// Certificates to trust, PEM, in place of the system's.
    pub fn ca_file(mut self, path: impl AsRef<Path>) -> Result<Self> {
        self.ca_file = Some(c_path(path.as_ref())?);
        Ok(self)
    }

    /// `name:password`, or the two S3 keys.
    pub fn user(mut self, user: &str) -> Result<Self> {
        self.user = Some(c_text("remote.user", user)?);
        Ok(self)
    }

    /// Signs requests as S3 wants, for instance `aws:amz:us-east-1:s3`.
    pub fn sigv4(mut self, sigv4: &str) -> Result<Self> {
        self.sigv4 = Some(c_text("remote.sigv4", sigv4)?);
        Ok(self)
    }

    /// URL of a proxy.
    pub fn proxy(mut self, url: &str) -> Result<Self> {
        self.proxy = Some(c_text("remote.proxy", url)?);
        Ok(self)
    }

    fn lend(&self) -> sys::plr_remote_options {
        let mut raw = self.raw;
        let text = |text: &Option<CString>| text.as_deref().map_or(null(), CStr::as_ptr);
        raw.ca_file = text(&self.ca_file);
        raw.user = text(&self.user);
        raw.sigv4 = text(&self.sigv4);
        raw.proxy = text(&self.proxy);
        raw
    }
}

/// What is copied, and what it must show.
pub struct MirrorOptions<'a> {
    /// The folder of `checkpoint` and `tile/`.
    pub url: &'a str,
    /// SQLite file of the copy; `None`: in memory.
    pub path: Option<&'a Path>,
    /// Name of the log.
    pub origin: &'a str,
    /// Of the log.
    pub public_key: PublicKey,
    /// Those that count.
    pub witnesses: &'a [WitnessKey<'a>],
    /// How many of them must have signed.
    pub quorum: u32,
    /// Believes signatures of entries; those of the checkpoint never are.
    pub skip_signatures: bool,
    /// How files are carried.
    pub remote: Remote,
}

impl<'a> MirrorOptions<'a> {
    /// In memory, without witnesses.
    pub fn new(url: &'a str, origin: &'a str, public_key: PublicKey) -> Self {
        MirrorOptions {
            url,
            path: None,
            origin,
            public_key,
            witnesses: &[],
            quorum: 0,
            skip_signatures: false,
            remote: Remote::new(),
        }
    }
}

record! {
    /// What a mirror has carried since it was created.
    MirrorStats from plr_mirror_stats {
        /// Received whole.
        files: u64,
        /// Transfers begun again.
        retries: u64,
        /// Bytes over the wire, without headers.
        received: u64,
        /// The same after content-encoding was undone.
        decoded: u64,
    }
}

/// Called with entries done, entries in all, and bytes received.
type Watch = Box<dyn FnMut(u64, u64, u64) -> io::Result<()> + Send>;

struct Watching {
    watch: Option<Watch>,
    outcome: Outcome,
}

// Called by C with the user that `Mirror::new` gave it.
unsafe extern "C" fn progress(user: *mut c_void, done: u64, total: u64, bytes: u64) -> sys::plr_status {
    let Watching { watch, outcome } = &mut *user.cast::<Watching>();
    match watch {
        Some(watch) => outcome.run(|| watch(done, total, bytes)),
        None => sys::PLR_OK,
    }
}

/// A copy of a log, and where it is copied from.
pub struct Mirror {
    ptr: NonNull<sys::plr_mirror>,
    watching: Box<Watching>,
    context: Context,
}

// Safety: <pluralis/base.h>: used by one thread at a time, any of them; the callback is Send.
unsafe impl Send for Mirror {}

impl Drop for Mirror {
    fn drop(&mut self) {
        // Safety: a live mirror.
        unsafe { sys::plr_mirror_destroy(self.ptr.as_ptr()) }
    }
}

impl Mirror {
    /// Opens the copy, and asks the network nothing. `INVALID_ARGUMENT`, `UNSUPPORTED`, `MISMATCH` (the file
    /// is of another log), those of `Ledger::open`.
    pub fn new(context: &Context, options: &MirrorOptions<'_>) -> Result<Mirror> {
        let (url, origin) = (c_text("mirror.url", options.url)?, c_text("mirror.origin", options.origin)?);
        let path = options.path.map(c_path).transpose()?;
        let (keys, remote) = (Keys::new(options.witnesses)?, options.remote.lend());
        let mut watching = Box::new(Watching { watch: None, outcome: Outcome::default() });
        // Safety: the `_init` function of these options.
        let mut raw = unsafe { defaults(|o, size| sys::plr_mirror_options_init(o, size)) };
        raw.url = url.as_ptr();
        raw.path = path.as_deref().map_or(null(), CStr::as_ptr);
        raw.origin = origin.as_ptr();
        raw.public_key = options.public_key.as_ptr();
        raw.witnesses = keys.raw.as_ptr();
        raw.witness_count = u32_len("witnesses", keys.raw.len())?;
        raw.quorum = options.quorum;
        raw.skip_signatures = options.skip_signatures.into();
        raw.remote = &remote;
        raw.progress = Some(progress);
        raw.user = (&mut *watching as *mut Watching).cast();
        // Safety: a live context; what the options point to is copied, but for the boxed callback.
        let ptr = create(|out, err| unsafe { sys::plr_mirror_create(context.as_ptr(), &raw, out, err) })?;
        Ok(Mirror { ptr, watching, context: context.clone() })
    }

    /// Calls `watch(entries done, entries in all, bytes)` several times a second while an update runs; an
    /// error ends it.
    pub fn watch(&mut self, watch: impl FnMut(u64, u64, u64) -> io::Result<()> + Send + 'static) {
        self.watching.watch = Some(Box::new(watch));
    }

    /// Brings the copy up to what the server shows: the entries it then has. After any failure the copy is
    /// what it was, or holds more of the same log. `SIGNATURE`, `SEQUENCE`, `MISMATCH`, `CHECKSUM`,
    /// `UNAVAILABLE` and others.
    pub fn update(&mut self) -> Result<u64> {
        let mut size = 0;
        // Safety: a live mirror; its callback is boxed.
        let result = call(|err| unsafe { sys::plr_mirror_update(self.ptr.as_ptr(), &mut size, err) });
        self.watching.outcome.settle(result)?;
        Ok(size)
    }

    /// The copy, read-only; `None` while it has no entry.
    pub fn ledger(&mut self) -> Option<Copied<'_>> {
        // Safety: a live mirror, which is borrowed for as long as its ledger is.
        let ptr = NonNull::new(unsafe { sys::plr_mirror_ledger(self.ptr.as_ptr()) })?;
        let ledger = Ledger { ptr, _sequencer: None, _store: None, _context: self.context.clone() };
        Some(Copied { ledger: ManuallyDrop::new(ledger), _mirror: self })
    }

    /// The checkpoint that the server showed last, accepted or not.
    pub fn shown(&self) -> Result<Option<String>> {
        // Safety: a live mirror; at most `cap` bytes are written.
        let bytes = bytes_of(4096, |out, cap, len, _err| unsafe {
            sys::plr_mirror_shown(self.ptr.as_ptr(), out.cast(), cap, len)
        });
        match bytes {
            Err(e) if e.status == Status::NOT_FOUND => Ok(None),
            Err(e) => Err(e),
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        }
    }

    /// What was carried since the mirror was made.
    pub fn stats(&self) -> Result<MirrorStats> {
        // Safety: a struct with a struct_size; a live mirror.
        let mut raw: sys::plr_mirror_stats = unsafe { sized() };
        check(unsafe { sys::plr_mirror_get_stats(self.ptr.as_ptr(), &mut raw) })?;
        Ok(MirrorStats::from_c(raw))
    }
}

/// The ledger of a mirror, which owns it.
pub struct Copied<'a> {
    ledger: ManuallyDrop<Ledger>,
    _mirror: &'a mut Mirror,
}

impl Drop for Copied<'_> {
    fn drop(&mut self) {
        // The ledger itself ends with the mirror. Safety: it is not used after this.
        let Ledger { _context, .. } = &mut *self.ledger;
        unsafe { std::ptr::drop_in_place(_context) };
    }
}

impl Deref for Copied<'_> {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

impl DerefMut for Copied<'_> {
    fn deref_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }
}

impl Ledger {
    /// Publishes to a server that takes PUT, the checkpoint last. Entries under the checkpoint.
    pub fn publish_url(&mut self, url: &str, remote: &Remote) -> Result<u64> {
        let (url, raw) = (c_text("publish", url)?, remote.lend());
        let mut size = 0;
        // Safety: a live ledger; a text and options that live during the call.
        call(|err| unsafe { sys::plr_ledger_publish_url(self.ptr(), url.as_ptr(), &raw, &mut size, err) })?;
        Ok(size)
    }

    /// Asks a witness to sign the recorded checkpoint, and keeps what it signed.
    pub fn cosign_url(&mut self, witness: WitnessKey<'_>, url: &str, remote: &Remote) -> Result<()> {
        let (url, keys, raw) = (c_text("witness", url)?, Keys::new(&[witness])?, remote.lend());
        // Safety: a live ledger; a key, a text and options that live during the call.
        call(|err| unsafe {
            sys::plr_ledger_cosign_url(self.ptr(), keys.raw.as_ptr(), url.as_ptr(), &raw, err)
        })
    }

    /// Refuses to go on when the last checkpoint that a witness shows is not of our past. `SEQUENCE`,
    /// `MISMATCH`, `NOT_FOUND` (it shows none).
    pub fn guard_url(&mut self, url: &str, remote: &Remote) -> Result<()> {
        let (url, raw) = (c_text("guard", url)?, remote.lend());
        // Safety: a live ledger; a text and options that live during the call.
        call(|err| unsafe { sys::plr_ledger_guard_url(self.ptr(), url.as_ptr(), &raw, err) })
    }
}
