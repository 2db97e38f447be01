//! SHA-256 values.
use std::fmt;

use crate::sys;

/// A SHA-256 value: the name of a model, an account, a root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// SHA-256 of `data`.
    pub fn of(data: &[u8]) -> Hash {
        let mut hash = Hash::default();
        // Safety: reads `data`, writes 32 bytes.
        unsafe { sys::plr_sha256(data.as_ptr().cast(), data.len(), hash.as_mut_ptr()) };
        hash
    }

    /// Hash of the numeric profile `exact` that this library computes in. Nodes with the same one
    /// give the same bits.
    pub fn of_profile() -> Hash {
        let mut hash = Hash::default();
        // Safety: writes 32 bytes.
        unsafe { sys::plr_profile_hash(hash.as_mut_ptr()) };
        hash
    }

    /// `plr_hash` is 32 bytes, as `Hash` is.
    pub(crate) fn as_ptr(&self) -> *const sys::plr_hash {
        (self as *const Hash).cast()
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut sys::plr_hash {
        (self as *mut Hash).cast()
    }

    pub(crate) fn to_c(self) -> sys::plr_hash {
        sys::plr_hash { bytes: self.0 }
    }
}

impl fmt::Display for Hash {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
