//! Declarations of libpluralis as C has them. The manual is the headers in `include/pluralis`;
//! the safe interface is the crate `pluralis`.
//!
//! `bindings.rs` is written by `bindings/rust/generate`. The two constants below are not: bindgen
//! 0.60 makes an `i32` of a 64-bit constant without a sign, and leaves out `UINT64_MAX`.
#![allow(non_camel_case_types)]

mod bindings;
pub use bindings::*;

/// No deadline.
pub const PLR_NEVER: u64 = u64::MAX;
/// An entry that does not expire.
pub const PLR_NO_EXPIRY: u64 = u64::MAX;
