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

mod builder;
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
pub mod plan;
pub mod session;
pub mod shard;
pub mod stage;
pub mod tensor;
pub mod weights;

pub use builder::{Builder, Layer, Op, Part, Scaling};
pub use context::{Context, ContextOptions, Isa, Level, Memory, Tasks};
pub use error::{Error, Result, Status, StatusClass};
pub use exchange::{
    Codec, Decoder, Encoder, EncoderStats, Feedback, FrameInfo, Incoming, Mask, Pieces, Role,
};
pub use hash::Hash;
pub use identity::{account_id, verify, Identity, PublicKey, Signature};
pub use io::{Sink, Source};
pub use ledger::{Ledger, LedgerOptions};
pub use link::{Link, LinkEvent, LinkIo, LinkOptions};
pub use model::{ClipScope, ConfigOptions, Corpus, Model, ModelInfo, Optimizer, Split, Storage};
pub use plan::{Plan, PlanOptions};
pub use session::{sample_top_p, Rows, Session};
pub use shard::{sample, weight_root, Parameter, Sampling, Shard, ShardOptions, SnapshotInfo, WeightFormat};
pub use stage::{Job, JobInfo, JobKind, Ran, Side, Stage, StageEvent, StageOptions};
pub use tensor::{Dtype, Matrix, MatrixMut};
pub use weights::{write_index, Weights, WeightsTensor};

/// What must not compile, beside what does. Handles of one thread at a time:
/// ```
/// fn send<T: Send>() {}
/// send::<pluralis::Shard>();
/// send::<pluralis::Job>();
/// ```
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<pluralis::Shard>();
/// ```
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<pluralis::Stage>();
/// ```
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<pluralis::Link>();
/// ```
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<pluralis::Ledger>();
/// ```
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<pluralis::Encoder>();
/// ```
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<pluralis::Decoder>();
/// ```
/// An event ends with the next call:
/// ```no_run
/// fn read(link: &mut pluralis::Link) {
///     let event = link.next_event();
///     drop(event);
///     link.next_event();
/// }
/// ```
/// ```compile_fail
/// fn read(link: &mut pluralis::Link) {
///     let event = link.next_event();
///     link.next_event();
///     drop(event);
/// }
/// ```
/// A job runs once:
/// ```compile_fail
/// fn twice(job: pluralis::Job) {
///     job.run();
///     job.run();
/// }
/// ```
/// A link is its stage's for good, and only its byte stream is lent:
/// ```compile_fail
/// fn keep(stage: &mut pluralis::Stage, link: pluralis::Link) {
///     stage.attach(pluralis::Side::Upstream, link).unwrap();
///     drop(link);
/// }
/// ```
/// ```compile_fail
/// fn exchange(a: &mut pluralis::Stage, b: &mut pluralis::Link) {
///     std::mem::swap(a.link(pluralis::Side::Upstream).unwrap().0, b);
/// }
/// ```
/// A sink is used up, and a matrix lives as long as its numbers:
/// ```compile_fail
/// fn again(shard: &mut pluralis::Shard, sink: pluralis::Sink<'_>) {
///     shard.save(sink).unwrap();
///     shard.save(sink).unwrap();
/// }
/// ```
/// ```compile_fail
/// fn gone() -> pluralis::Matrix<'static> {
///     let numbers = vec![0.0; 4];
///     pluralis::Matrix::new(&numbers, 2, 2).unwrap()
/// }
/// ```
#[cfg(doctest)]
pub struct Rules;

/// Version of the library that is running, as (major << 16) | (minor << 8) | patch.
pub fn version() -> u32 {
    // Safety: a function without arguments.
    unsafe { sys::plr_version() }
}
