//! Ed25519 key pairs (RFC 8032). Every node, designer and depositor signs with one.
use std::ptr::NonNull;
use std::sync::Arc;

use crate::error::{check, Result};
use crate::ffi::create;
use crate::{sys, Context, Hash};

/// A public key.
pub type PublicKey = [u8; 32];
/// A signature.
pub type Signature = [u8; 64];

/// A key pair. Cheap to clone; threads may share it. The secret is wiped with the last clone.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    ptr: NonNull<sys::plr_identity>,
    _context: Context,
}

// Safety: <pluralis/base.h>: functions that take a const handle may run at once, and after creation
// there are no others.
unsafe impl Send for Inner {}
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        // Safety: no clone is left, also not in a link, stage or ledger that borrows it.
        unsafe { sys::plr_identity_destroy(self.ptr.as_ptr()) }
    }
}

impl Identity {
    /// Makes a key pair from a secret, which the host draws from its own randomness and keeps.
    /// `UNAVAILABLE` when libsodium fails its self-test.
    pub fn new(context: &Context, seed: &[u8; 32]) -> Result<Identity> {
        // Safety: a live context; the seed is copied.
        let ptr = create(|out, err| unsafe {
            sys::plr_identity_create(context.as_ptr(), seed.as_ptr(), out, err)
        })?;
        Ok(Identity(Arc::new(Inner { ptr, _context: context.clone() })))
    }

    /// The public key.
    pub fn public_key(&self) -> PublicKey {
        let mut key = [0; 32];
        // Safety: writes 32 bytes.
        unsafe { sys::plr_identity_public_key(self.as_ptr(), key.as_mut_ptr()) };
        key
    }

    /// Account id of the public key.
    pub fn account(&self) -> Hash {
        account_id(&self.public_key())
    }

    /// Signs `data`; always the same signature for the same data.
    pub fn sign(&self, data: &[u8]) -> Signature {
        let mut signature = [0; 64];
        // Safety: reads `data`, writes 64 bytes.
        unsafe {
            let out = signature.as_mut_ptr();
            sys::plr_identity_sign(self.as_ptr(), data.as_ptr().cast(), data.len(), out);
        }
        signature
    }

    pub(crate) fn as_ptr(&self) -> *const sys::plr_identity {
        self.0.ptr.as_ptr()
    }
}

/// Account id of a public key: SHA-256 of `"pluralis.account/v1"` and the key.
pub fn account_id(public_key: &PublicKey) -> Hash {
    let mut account = Hash::default();
    // Safety: reads and writes 32 bytes.
    unsafe { sys::plr_account_id(public_key.as_ptr(), account.as_mut_ptr()) };
    account
}

/// Checks a signature, by the one rule of this project (see `<pluralis/identity.h>`); `SIGNATURE` when
/// it does not verify.
pub fn verify(public_key: &PublicKey, data: &[u8], signature: &Signature) -> Result<()> {
    // Safety: reads 32 bytes, `data` and 64 bytes.
    check(unsafe {
        let (key, signature) = (public_key.as_ptr(), signature.as_ptr());
        sys::plr_verify(key, data.as_ptr().cast(), data.len(), signature)
    })
}
