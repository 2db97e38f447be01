//! What the modules share to call C: handles, text, structs of numbers, callbacks that may panic.
use std::ffi::CString;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;
use std::ptr::{null_mut, NonNull};

use crate::error::{call, call_cold, Error, Result, Status};
use crate::{sys, Hash};

/// Calls a `plr_x_create`.
pub(crate) fn create<T>(
    function: impl FnOnce(*mut *mut T, *mut sys::plr_error) -> sys::plr_status,
) -> Result<NonNull<T>> {
    let mut out = null_mut();
    call_cold(|err| function(&mut out, err))?;
    NonNull::new(out).ok_or_else(|| Status::INTERNAL.into())
}

/// Fills options with their defaults.
///
/// Safety: `init` calls the `_init` function of `T`, which writes all of it.
pub(crate) unsafe fn defaults<T>(init: impl FnOnce(*mut T, u32)) -> T {
    let mut options = std::mem::MaybeUninit::zeroed();
    init(options.as_mut_ptr(), std::mem::size_of::<T>() as u32);
    options.assume_init()
}

/// Text for C, which ends at a NUL: one inside is an error.
pub(crate) fn c_text(where_: &'static str, text: &str) -> Result<CString> {
    c_bytes(where_, text.as_bytes())
}

pub(crate) fn c_path(path: &Path) -> Result<CString> {
    use std::os::unix::ffi::OsStrExt;
    c_bytes("path", path.as_os_str().as_bytes())
}

fn c_bytes(where_: &'static str, bytes: &[u8]) -> Result<CString> {
    let inside = |_| Error::new(Status::INVALID_ARGUMENT, where_, "a NUL inside the text");
    CString::new(bytes).map_err(inside)
}

/// A length that C takes as 32 bits.
pub(crate) fn u32_len(where_: &'static str, len: usize) -> Result<u32> {
    let large = |_| Error::new(Status::LIMIT, where_, format!("{len} does not fit 32 bits"));
    u32::try_from(len).map_err(large)
}

/// Bytes whose length the function reports when the buffer was too small for them.
pub(crate) fn bytes_of(
    guess: usize,
    mut function: impl FnMut(*mut u8, usize, *mut usize, *mut sys::plr_error) -> sys::plr_status,
) -> Result<Vec<u8>> {
    let mut cap = guess;
    loop {
        let mut buffer: Vec<u8> = Vec::with_capacity(cap);
        let mut len = 0;
        match call(|err| function(buffer.as_mut_ptr(), cap, &mut len, err)) {
            Err(e) if e.status == Status::BUFFER_TOO_SMALL && len > cap => cap = len,
            Err(e) => return Err(e),
            Ok(()) => {
                assert!(len <= cap);
                // Safety: the function has written `len` bytes.
                unsafe { buffer.set_len(len) };
                return Ok(buffer);
            }
        }
    }
}

/// Runs what the host gave, inside a call from C, which a panic must not cross: not even that of the
/// payload of a panic, when it is dropped.
pub(crate) fn guarded(function: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(function)) {
        if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(another);
        }
    }
}

/// A Rust value from a C value. (Not `From`, which would be a foreign trait for foreign types.)
pub(crate) trait FromC<C> {
    fn from_c(value: C) -> Self;
}

macro_rules! same {
    ($($kind:ty),*) => {
        $(impl FromC<$kind> for $kind {
            #[inline]
            fn from_c(value: $kind) -> $kind {
                value
            }
        })*
    };
}

same!(u32, u64, f32, f64);

impl FromC<sys::plr_hash> for Hash {
    #[inline]
    fn from_c(value: sys::plr_hash) -> Hash {
        Hash(value.bytes)
    }
}

impl FromC<sys::plr_units> for u128 {
    #[inline]
    fn from_c(value: sys::plr_units) -> u128 {
        u128::from(value.hi) << 64 | u128::from(value.lo)
    }
}

/// A struct of numbers that the library fills, with the fields of the C struct that matter here.
macro_rules! record {
    ($(#[$outer:meta])* $name:ident from $c:ident {
        $($(#[$inner:meta])* $field:ident: $kind:ty,)*
    }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$inner])* pub $field: $kind,)*
        }

        impl crate::ffi::FromC<crate::sys::$c> for $name {
            fn from_c(value: crate::sys::$c) -> $name {
                $name { $($field: crate::ffi::FromC::from_c(value.$field),)* }
            }
        }
    };
}

/// Numbers with names, of which newer libraries may have more.
macro_rules! codes {
    ($(#[$outer:meta])* $name:ident {
        $($(#[$inner:meta])* $code:ident = $c:ident,)*
    }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(transparent)]
        pub struct $name(pub u32);

        impl $name {
            $($(#[$inner])* pub const $code: $name = $name(crate::sys::$c);)*
        }

        impl crate::ffi::FromC<u32> for $name {
            #[inline]
            fn from_c(value: u32) -> $name {
                $name(value)
            }
        }
    };
}

/// Setters of an options struct in the field `raw`, each for one number.
macro_rules! setters {
    ($($(#[$outer:meta])* $name:ident: $kind:ty,)*) => {
        $(
            $(#[$outer])*
            #[must_use]
            pub fn $name(mut self, $name: $kind) -> Self {
                self.raw.$name = $name;
                self
            }
        )*
    };
}

pub(crate) use {codes, record, setters};

/// A struct whose first field, `struct_size`, tells the library how much of it the caller knows.
///
/// Safety: `T` is such a struct, for which all zero is a valid value.
pub(crate) unsafe fn sized<T>() -> T {
    let mut some = std::mem::MaybeUninit::<T>::zeroed();
    some.as_mut_ptr().cast::<u32>().write(std::mem::size_of::<T>() as u32);
    some.assume_init()
}
