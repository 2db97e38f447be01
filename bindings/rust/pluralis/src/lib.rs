//! Safe interface to libpluralis: model-parallel training and inference over slow links between nodes
//! that do not trust each other.
//!
//! 1. **Shard execution** ([`shard`]): any run of consecutive blocks of a model, trained or used for
//!    inference.
//! 2. **Compressed exchange** ([`exchange`], [`link`]): a tensor becomes a frame of few bytes and back,
//!    over any byte stream.
//! 3. **Contribution ledger** ([`ledger`]): receipts that neighbours counter-sign become shares, revenue
//!    becomes payouts, and anyone can verify the file.
//!
//! A [`stage`] ties the three together. The headers in `include/pluralis` are the manual; here stand
//! shapes, units and errors. `examples/tutorial.rs` shows all of it in sixty lines.
//!
//! # Ownership and threads
//!
//! What C borrows is kept alive: a handle holds its context, model, identity or corpus, so handles may be
//! dropped in any order. As in C, a context may be shared by threads, and so may what does not change
//! after it was made; any other handle is used by one thread at a time:
//!
//! | | `Send` | `Sync` |
//! |---|---|---|
//! | [`Context`], [`Model`], [`Corpus`], [`Identity`] | yes | yes |
//! | [`Shard`], [`Encoder`], [`Decoder`], [`Link`], [`Stage`], [`Job`], [`Ran`], [`Ledger`] | yes | no |
//!
//! # Errors and callbacks
//!
//! Every failure is an [`Error`] that says what and where. A panic in a callback never crosses C: that of
//! a reader, writer or progress report goes on once C has returned, that of a logger or an executor is
//! caught there.
#![deny(missing_docs)]

pub use pluralis_sys as sys;

mod context;
mod error;
pub mod exchange;
mod ffi;
mod hash;
mod identity;
pub mod io;
pub mod ledger;
pub mod link;
pub mod model;
pub mod shard;
pub mod stage;
pub mod tensor;

pub use context::{Context, ContextOptions, Isa, Level, Memory, Tasks};
pub use error::{Error, Result, Status, StatusClass};
pub use exchange::{Codec, Decoder, Encoder, FrameInfo, Role};
pub use hash::Hash;
pub use identity::{account_id, verify, Identity, PublicKey, Signature};
pub use io::{Sink, Source};
pub use ledger::{Ledger, LedgerOptions};
pub use link::{Link, LinkEvent, LinkIo, LinkOptions};
pub use model::{Corpus, Model, ModelInfo, Split};
pub use shard::{sample, weight_root, Sampling, Shard, ShardOptions};
pub use stage::{Job, JobInfo, JobKind, Ran, Side, Stage, StageEvent, StageOptions};
pub use tensor::{Dtype, Matrix, MatrixMut};

/// Version of the library that is running, as (major << 16) | (minor << 8) | patch.
pub fn version() -> u32 {
    // Safety: a function without arguments.
    unsafe { sys::plr_version() }
}
