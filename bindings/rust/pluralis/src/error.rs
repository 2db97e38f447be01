//! Status codes, and what an [`Error`] says.
use std::borrow::Cow;
use std::ffi::CStr;
use std::fmt;
use std::mem::{size_of, MaybeUninit};
use std::os::raw::c_char;
use std::ptr::{addr_of, addr_of_mut};

use crate::sys;

/// A status of the library. Numbers are stable for ever; new ones may come, so a `match` needs a `_`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(pub i32);

/// What the caller of a function that failed should do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StatusClass {
    /// Nothing: it worked.
    Ok,
    /// The caller's fault: the object is unchanged, correct the call.
    Caller,
    /// Memory, disk, device: retrying later may work.
    Environment,
    /// A peer or a file gave bad data: drop that frame, link, entry or file.
    BadData,
    /// The only thing left to do with the object is to drop it.
    Fatal,
}

macro_rules! statuses {
    ($($name:ident = $c:ident, $doc:literal;)*) => {
        impl Status {
            $(#[doc = $doc] pub const $name: Status = Status(sys::$c);)*
        }
    };
}

statuses! {
    OK = PLR_OK, "Success.";
    INVALID_ARGUMENT = PLR_ERR_INVALID_ARGUMENT, "Invalid argument.";
    INVALID_STATE = PLR_ERR_INVALID_STATE, "Not allowed in the object's present state.";
    UNSUPPORTED = PLR_ERR_UNSUPPORTED, "Not supported by this build, device or version.";
    LIMIT = PLR_ERR_LIMIT, "A configured limit would be exceeded.";
    EXISTS = PLR_ERR_EXISTS, "Already there; nothing changed.";
    NOT_FOUND = PLR_ERR_NOT_FOUND, "Not found.";
    AGAIN = PLR_ERR_AGAIN, "Not now: a queue is full or nothing is ready yet.";
    BUFFER_TOO_SMALL = PLR_ERR_BUFFER_TOO_SMALL, "The buffer is too small.";
    SHAPE = PLR_ERR_SHAPE, "Shape, stride or dtype does not fit.";
    NO_MEMORY = PLR_ERR_NO_MEMORY, "Out of memory.";
    IO = PLR_ERR_IO, "Input/output error.";
    NO_SPACE = PLR_ERR_NO_SPACE, "No space left on the device.";
    UNAVAILABLE = PLR_ERR_UNAVAILABLE, "Device or resource not available.";
    MALFORMED = PLR_ERR_MALFORMED, "Malformed data.";
    TRUNCATED = PLR_ERR_TRUNCATED, "Data ends too early.";
    CHECKSUM = PLR_ERR_CHECKSUM, "Checksum or hash mismatch.";
    VERSION = PLR_ERR_VERSION, "Version of the data is not supported.";
    MISMATCH = PLR_ERR_MISMATCH, "The two sides disagree (model, profile, key or shape).";
    SIGNATURE = PLR_ERR_SIGNATURE, "Signature does not verify.";
    SEQUENCE = PLR_ERR_SEQUENCE, "Out of sequence, repeated or stale.";
    NON_FINITE = PLR_ERR_NON_FINITE, "A NaN or an infinity where a finite number is required.";
    PROOF = PLR_ERR_PROOF, "Proof does not verify.";
    CLOSED = PLR_ERR_CLOSED, "The peer is gone.";
    CORRUPT = PLR_ERR_CORRUPT, "Stored state is corrupt.";
    CONSERVATION = PLR_ERR_CONSERVATION, "An accounting identity is broken.";
    INTERNAL = PLR_ERR_INTERNAL, "Internal error.";
}

impl Status {
    /// Its name in C, such as `PLR_ERR_LIMIT`.
    pub fn name(self) -> &'static str {
        // Safety: static strings, for any value.
        unsafe { static_text(sys::plr_status_name(self.0)) }
    }

    /// One line that says what it means.
    pub fn message(self) -> &'static str {
        // Safety: static strings, for any value.
        unsafe { static_text(sys::plr_status_message(self.0)) }
    }

    /// What to do about it.
    pub fn class(self) -> StatusClass {
        match self.0 {
            0.. => StatusClass::Ok,
            -99..=-1 => StatusClass::Caller,
            -199..=-100 => StatusClass::Environment,
            -299..=-200 => StatusClass::BadData,
            _ => StatusClass::Fatal,
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

/// Safety: NUL-terminated and static.
unsafe fn static_text(text: *const c_char) -> &'static str {
    CStr::from_ptr(text).to_str().unwrap_or("")
}

/// Why a call failed.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    /// The kind of failure.
    pub status: Status,
    /// What was being read or checked: `manifest.cuts[2]`, `frame header`, a path. May be empty.
    pub where_: Cow<'static, str>,
    /// Byte offset in the input, when there is one; else 0.
    pub offset: u64,
    /// One line.
    pub message: Cow<'static, str>,
}

/// What functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(status: Status, where_: &'static str, message: impl Into<Cow<'static, str>>) -> Error {
        let message = message.into();
        Error { status, where_: where_.into(), offset: 0, message }
    }
}

impl From<Status> for Error {
    /// All that is known of a failure of a hot function.
    fn from(status: Status) -> Error {
        Error::new(status, "", status.message())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.status.name())?;
        if !self.where_.is_empty() {
            write!(f, ": {}", self.where_)?;
        }
        if self.offset != 0 {
            write!(f, " at byte {}", self.offset)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

/// The result of a function that gives no detail.
#[inline]
pub(crate) fn check(status: sys::plr_status) -> Result<()> {
    if status == sys::PLR_OK {
        Ok(())
    } else {
        Err(Status(status).into())
    }
}

/// The result of a function that takes a `plr_error`.
///
/// `plr_error_init` clears all of the struct, here only what is read is set: frames are decoded this way.
#[inline]
pub(crate) fn call(function: impl FnOnce(*mut sys::plr_error) -> sys::plr_status) -> Result<()> {
    let mut detail = MaybeUninit::<sys::plr_error>::uninit();
    let at = detail.as_mut_ptr();
    // Safety: fields are written through the pointer. The two texts need only begin with a NUL: the
    // library writes all of the struct, or nothing.
    unsafe {
        addr_of_mut!((*at).struct_size).write(size_of::<sys::plr_error>() as u32);
        addr_of_mut!((*at).offset).write(0);
        addr_of_mut!((*at).where_).cast::<c_char>().write(0);
        addr_of_mut!((*at).message).cast::<c_char>().write(0);
    }
    match function(at) {
        sys::PLR_OK => Ok(()),
        // Safety: both texts end with a NUL.
        status => Err(unsafe { detailed(Status(status), at) }),
    }
}

/// The same for a function that is not hot.
pub(crate) fn call_cold(function: impl FnOnce(*mut sys::plr_error) -> sys::plr_status) -> Result<()> {
    let mut detail = MaybeUninit::<sys::plr_error>::uninit();
    let at = detail.as_mut_ptr();
    // Safety: writes all of the struct.
    unsafe { sys::plr_error_init(at, size_of::<sys::plr_error>() as u32) };
    match function(at) {
        sys::PLR_OK => Ok(()),
        // Safety: both texts end with a NUL.
        status => Err(unsafe { detailed(Status(status), at) }),
    }
}

/// Safety: number and texts of the detail are initialised.
#[cold]
unsafe fn detailed(status: Status, at: *const sys::plr_error) -> Error {
    let text = |p: *const c_char| CStr::from_ptr(p).to_string_lossy().into_owned();
    let message = text(addr_of!((*at).message).cast());
    if message.is_empty() {
        return status.into();
    }
    let where_ = text(addr_of!((*at).where_).cast()).into();
    Error { status, where_, offset: (*at).offset, message: message.into() }
}
