//! A shard: consecutive blocks of a model on one device, trained or used for inference.
//!
//! Sizes: N = micro_batch x seq_len token rows, V = vocab, w = boundary_width (see
//! [`crate::model::ModelInfo`]). Matrices are slices in row-major order.
use std::ffi::CStr;
use std::ops::Range;
use std::ptr::{null, null_mut, NonNull};

use crate::error::{call, check, Error, Result, Status};
use crate::ffi::{c_text, create, defaults, setters, u32_len};
use crate::io::{Sink, Source};
use crate::model::ModelInfo;
use crate::tensor::{Dtype, Matrix, MatrixMut};
use crate::{sys, Context, Hash, Model, Weights};

/// What a [`Shard`] is made with.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    raw: sys::plr_shard_options,
    blocks: Option<Range<u32>>,
    device: Option<String>,
}

// Safety: the one pointer in `raw` is the default device, a static text.
unsafe impl Send for ShardOptions {}
unsafe impl Sync for ShardOptions {}

impl Default for ShardOptions {
    fn default() -> Self {
        ShardOptions::new()
    }
}

impl ShardOptions {
    /// The defaults: the whole model, one slot, training, the CPU.
    pub fn new() -> Self {
        // Safety: the `_init` function of these options.
        let raw = unsafe { defaults(|o, size| sys::plr_shard_options_init(o, size)) };
        ShardOptions { raw, blocks: None, device: None }
    }

    setters! {
        /// Micro-batches in flight, at least 1.
        slots: u32,
    }

    /// A step may come between a forward and its backward, which is then done with the weights of its
    /// forward: up to `versions` of them are held at once.
    #[must_use]
    pub fn stash(mut self, versions: u32) -> Self {
        self.raw.delayed = sys::PLR_DELAYED_STASH;
        self.raw.versions = versions;
        self
    }

    /// A step may come between a forward and its backward, which is then done with the newest weights.
    #[must_use]
    pub fn newest(mut self) -> Self {
        self.raw.delayed = sys::PLR_DELAYED_NEWEST;
        self
    }

    /// The blocks; both ends must be allowed cuts.
    #[must_use]
    pub fn blocks(mut self, blocks: Range<u32>) -> Self {
        self.blocks = Some(blocks);
        self
    }

    /// No gradients and no optimizer state.
    #[must_use]
    pub fn inference_only(mut self) -> Self {
        self.raw.inference_only = 1;
        self
    }

    /// Of a micro-batch in flight only what crosses from block to block is kept, and backward computes
    /// the rest again: less memory, more work, the same bits.
    #[must_use]
    pub fn recompute(mut self) -> Self {
        self.raw.recompute = 1;
        self
    }

    /// How weights are held; other than F32 together with [`ShardOptions::inference_only`].
    #[must_use]
    pub fn weight_format(mut self, format: WeightFormat) -> Self {
        self.raw.weight_format = format as u32;
        self
    }

    /// Where to compute, by name.
    #[must_use]
    pub fn device(mut self, name: impl Into<String>) -> Self {
        self.device = Some(name.into());
        self
    }
}

/// Formats of weights for serving. Every format has the same bits on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum WeightFormat {
    /// 32 bits a weight.
    F32 = sys::PLR_WEIGHTS_F32,
    /// 16 bits.
    Bf16 = sys::PLR_WEIGHTS_BF16,
    /// 8.5 bits; products round their inputs to 8 bits too.
    Q8 = sys::PLR_WEIGHTS_Q8,
    /// 4.5 bits; products round their inputs to 8 bits.
    Q4 = sys::PLR_WEIGHTS_Q4,
}

/// A matrix that a shard trains: y = x W, W rows x cols; a gain or a bias is 1 x cols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Global name, `blocks.3.attn.q.weight`.
    pub name: String,
    /// The block it belongs to.
    pub block: u32,
    /// Inputs.
    pub rows: usize,
    /// Outputs.
    pub cols: usize,
}

/// Consecutive blocks of a model on one device. Used by one thread at a time.
pub struct Shard {
    ptr: NonNull<sys::plr_shard>,
    model: Model,
    blocks: Range<u32>,
    context: Context,
    pub(crate) sessions: Vec<Option<NonNull<sys::plr_session>>>,
}

// Safety: <pluralis/base.h>: used by one thread at a time, any of them.
unsafe impl Send for Shard {}

impl Drop for Shard {
    fn drop(&mut self) {
        // Safety: a live shard and its sessions; a stage that borrows a shard owns it.
        unsafe {
            for session in self.sessions.iter().flatten() {
                sys::plr_session_destroy(session.as_ptr());
            }
            sys::plr_shard_destroy(self.ptr.as_ptr())
        }
    }
}

impl Shard {
    /// Makes a shard with its seeded initial weights, which depend on the model and not on the split.
    /// `INVALID_ARGUMENT` (not an allowed cut), `NOT_FOUND` (device).
    pub fn new(context: &Context, model: &Model, options: &ShardOptions) -> Result<Shard> {
        Shard::make(context, model, options, null_mut())
    }

    /// The same with the weights of a checkpoint, at step 0. `NOT_FOUND` (a tensor), `MISMATCH` (its
    /// shape), `UNSUPPORTED` (its type), `NON_FINITE`, and what reading gives.
    pub fn with_weights(
        context: &Context,
        model: &Model,
        options: &ShardOptions,
        weights: &mut Weights<'_>,
    ) -> Result<Shard> {
        weights.lend(|weights| Shard::make(context, model, options, weights))
    }

    fn make(
        context: &Context,
        model: &Model,
        options: &ShardOptions,
        weights: *mut sys::plr_weights,
    ) -> Result<Shard> {
        let mut raw = options.raw;
        raw.weights = weights;
        let blocks = options.blocks.clone().unwrap_or(0..model.info().blocks);
        if blocks.is_empty() {
            let text = format!("blocks {blocks:?} are none");
            return Err(Error::new(Status::INVALID_ARGUMENT, "shard options", text));
        }
        raw.first_block = blocks.start;
        raw.end_block = blocks.end;
        let device = match &options.device {
            Some(name) => Some(c_text("shard options.device", name)?),
            None => None,
        };
        if let Some(device) = &device {
            raw.device = device.as_ptr();
        }
        // Safety: live handles; the options and their text live during the call.
        let ptr = create(|out, err| unsafe {
            sys::plr_shard_create(context.as_ptr(), model.as_ptr(), &raw, out, err)
        })?;
        Ok(Shard { ptr, model: model.clone(), blocks, context: context.clone(), sessions: Vec::new() })
    }

    /// The model it is a part of.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The context it computes with.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Its blocks.
    pub fn blocks(&self) -> Range<u32> {
        self.blocks.clone()
    }

    pub(crate) fn info(&self) -> &ModelInfo {
        self.model.info()
    }

    pub(crate) fn is_last(&self) -> bool {
        self.blocks.end == self.info().blocks
    }

    /// Training forward of one micro-batch into `slot`.
    ///
    /// `tokens`: micro_batch x (seq_len + 1) ids. `input`: N x w, `None` for the first shard. `output`:
    /// N x w, `None` for the last shard. Returns the sum over N rows of the cross-entropy in nats for
    /// the last shard, else 0. `SHAPE`; `INVALID_ARGUMENT` (slot, token); `INVALID_STATE` (the slot
    /// holds a forward whose backward is due); `NON_FINITE`.
    #[inline]
    pub fn forward(
        &mut self,
        slot: u32,
        tokens: &[i32],
        input: Option<&[f32]>,
        output: Option<&mut [f32]>,
    ) -> Result<f64> {
        let (want, rows) = (self.info().batch_tokens(), self.info().rows());
        if tokens.len() != want {
            return Err(length("tokens", tokens.len(), want));
        }
        let input = self.read("input", input, rows)?;
        let mut output = self.write("output", output, rows, self.info().boundary_width)?;
        let mut loss = 0.0;
        // Safety: a live shard; lengths are those of the model.
        check(unsafe {
            let (input, output) = (pointer(&input), pointer_mut(&mut output));
            let tokens = tokens.as_ptr();
            sys::plr_shard_forward(self.as_ptr(), slot, tokens, input, output, &mut loss)
        })?;
        Ok(loss)
    }

    /// Backward of the micro-batch in `slot`, which becomes free.
    ///
    /// `grad_output`: N x w, the gradient of what forward put out, `None` for the last shard.
    /// `grad_input`: N x w, written, `None` for the first shard. The loss is the mean over all tokens
    /// of the step. `SHAPE`, `INVALID_STATE`, `NON_FINITE`.
    #[inline]
    pub fn backward(
        &mut self,
        slot: u32,
        grad_output: Option<&[f32]>,
        grad_input: Option<&mut [f32]>,
    ) -> Result<()> {
        let rows = self.info().rows();
        let grad_output = self.read("grad_output", grad_output, rows)?;
        let width = self.info().boundary_width;
        let mut grad_input = self.write("grad_input", grad_input, rows, width)?;
        // Safety: a live shard; lengths are those of the model.
        check(unsafe {
            let (from, to) = (pointer(&grad_output), pointer_mut(&mut grad_input));
            sys::plr_shard_backward(self.as_ptr(), slot, from, to)
        })
    }

    /// Applies the optimizer to the accumulated gradients, clears them and counts the step.
    /// `NON_FINITE`: a gradient is not finite; weights are unchanged, gradients cleared.
    /// `INVALID_STATE`: a slot is still busy.
    #[inline]
    pub fn step(&mut self) -> Result<()> {
        // Safety: a live shard.
        check(unsafe { sys::plr_shard_step(self.as_ptr()) })
    }

    /// For a model that limits the norm of its whole gradient: the sum of squares of the accumulated
    /// gradient of each of the shard's blocks; infinity when one is not finite. `INVALID_STATE`.
    pub fn gradient_sums(&mut self) -> Result<Vec<f64>> {
        let mut sums = vec![0.0; self.blocks.len()];
        // Safety: a live shard; as many sums as there are blocks.
        check(unsafe { sys::plr_shard_gradient_sums(self.as_ptr(), sums.as_mut_ptr(), sums.len() as u32) })?;
        Ok(sums)
    }

    /// [`Shard::step`] with the sums of all blocks of the model in order. `INVALID_ARGUMENT` (sums that
    /// are not of all blocks, or not what the shard measured), `INVALID_STATE`, `NON_FINITE`.
    pub fn step_global(&mut self, sums: &[f64]) -> Result<()> {
        let count = u32_len("shard.sums", sums.len())?;
        // Safety: a live shard; `count` sums.
        check(unsafe { sys::plr_shard_step_global(self.as_ptr(), sums.as_ptr(), count) })
    }

    /// Optimizer steps done since the seeded start.
    #[inline]
    pub fn steps(&self) -> u64 {
        // Safety: a live shard.
        unsafe { sys::plr_shard_steps(self.as_ptr()) }
    }

    /// Forward only; nothing is kept. `tokens`: `rows` sequences of the same length, at most seq_len,
    /// together at most N. `input`: tokens x w, `None` for the first shard. `output`: tokens x w, on the
    /// last shard the logits, tokens x V. `SHAPE`, `INVALID_ARGUMENT`, `NON_FINITE`.
    pub fn infer(
        &mut self,
        tokens: &[i32],
        rows: u32,
        input: Option<&[f32]>,
        output: &mut [f32],
    ) -> Result<()> {
        let info = self.info();
        let cols = match self.is_last() {
            true => info.vocab,
            false => info.boundary_width,
        };
        if rows == 0 || tokens.is_empty() || tokens.len() % rows as usize != 0 {
            let text = format!("{} tokens are not {rows} rows", tokens.len());
            return Err(Error::new(Status::SHAPE, "shard.tokens", text));
        }
        let seq = u32_len("shard.tokens", tokens.len() / rows as usize)?;
        let input = self.read("input", input, tokens.len())?;
        let mut output = self.write("output", Some(output), tokens.len(), cols)?;
        // Safety: a live shard; there are rows x seq tokens, and as many rows in the matrices.
        check(unsafe {
            let (input, output) = (pointer(&input), pointer_mut(&mut output));
            sys::plr_shard_infer(self.as_ptr(), tokens.as_ptr(), rows, seq, input, output)
        })
    }

    /// Cross-entropy of logits (labels x V) against `labels`, summed in nats by the rule of the training
    /// loss; the logits are overwritten. On the last shard, else `INVALID_STATE`.
    pub fn loss(&mut self, logits: &mut [f32], labels: &[i32]) -> Result<f64> {
        let vocab = self.info().vocab;
        let mut logits = self.write("logits", Some(logits), labels.len(), vocab)?;
        let mut loss = 0.0;
        // Safety: a live shard; there are as many labels as rows.
        check(unsafe {
            let logits = pointer_mut(&mut logits);
            sys::plr_shard_loss(self.as_ptr(), logits, labels.as_ptr(), &mut loss)
        })?;
        Ok(loss)
    }

    /// What it trains, in the order of the model.
    pub fn parameters(&self) -> Vec<Parameter> {
        // Safety: a live shard.
        let count = unsafe { sys::plr_shard_parameters(self.as_ptr()) };
        (0..count)
            .map(|i| {
                let mut raw = sys::plr_parameter_info {
                    struct_size: std::mem::size_of::<sys::plr_parameter_info>() as u32,
                    block: 0,
                    rows: 0,
                    cols: 0,
                    name: null(),
                };
                // Safety: a live shard, one of its parameters, a struct of the size it says; the name
                // lives as long as the shard.
                let name = unsafe {
                    sys::plr_shard_parameter(self.as_ptr(), i, &mut raw);
                    CStr::from_ptr(raw.name).to_string_lossy().into_owned()
                };
                Parameter { name, block: raw.block, rows: raw.rows as usize, cols: raw.cols as usize }
            })
            .collect()
    }

    fn parameter(&self, name: &str) -> Result<Parameter> {
        self.parameters().into_iter().find(|p| p.name == name).ok_or_else(|| {
            let text = format!("blocks {:?} have no parameter {name}", self.blocks);
            Error::new(Status::NOT_FOUND, "shard parameter", text)
        })
    }

    fn copy_out(&mut self, what: u32, name: &str) -> Result<Vec<f32>> {
        let p = self.parameter(name)?;
        let mut values = vec![0.0; p.rows * p.cols];
        let mut out = MatrixMut::new(&mut values, p.rows, p.cols)?;
        let name = c_text("shard parameter", name)?;
        // Safety: a live shard; the matrix has the parameter's shape.
        call(|err| unsafe {
            sys::plr_shard_read(self.as_ptr(), what, name.as_ptr(), out.as_mut_ptr(), err)
        })?;
        Ok(values)
    }

    /// A parameter's weights, rows x cols. `NOT_FOUND`.
    pub fn weight(&mut self, name: &str) -> Result<Vec<f32>> {
        self.copy_out(sys::PLR_PARAMETER_WEIGHT, name)
    }

    /// A parameter's gradient since the last step. `NOT_FOUND`; `INVALID_STATE` without a backward.
    pub fn gradient(&mut self, name: &str) -> Result<Vec<f32>> {
        self.copy_out(sys::PLR_PARAMETER_GRADIENT, name)
    }

    /// Replaces a parameter's weights; optimizer state and step stay. `NOT_FOUND`, `SHAPE`,
    /// `NON_FINITE`, `INVALID_STATE` (a slot waits for its backward).
    pub fn set_weight(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let p = self.parameter(name)?;
        if values.len() != p.rows * p.cols {
            return Err(length("values", values.len(), p.rows * p.cols));
        }
        let values = Matrix::new(values, p.rows, p.cols)?;
        let name = c_text("shard parameter", name)?;
        // Safety: a live shard; the matrix has the parameter's shape.
        call(|err| unsafe { sys::plr_shard_write(self.as_ptr(), name.as_ptr(), values.as_ptr(), err) })
    }

    /// Writes the weights as safetensors under the names of the model's family: `F32`, or `BF16` rounded to
    /// nearest even. `UNSUPPORTED`: the family has no name for a parameter.
    pub fn export(&mut self, dtype: Dtype, sink: Sink<'_>) -> Result<()> {
        // Safety: a live shard; the sink is taken.
        sink.give(|sink, err| unsafe { sys::plr_shard_export(self.as_ptr(), dtype.0, sink, err) })
    }

    /// Writes a snapshot: weights, optimizer state, step. `INVALID_STATE` while gradients are pending.
    pub fn save(&mut self, sink: Sink<'_>) -> Result<()> {
        // Safety: a live shard; the sink is taken.
        sink.give(|sink, err| unsafe { sys::plr_shard_save(self.as_ptr(), sink, err) })
    }

    /// Restores the shard's blocks from a snapshot of the same model that holds them; the shard is
    /// unchanged on failure.
    /// `MALFORMED`, `TRUNCATED`, `CHECKSUM`, `MISMATCH` (another model or other blocks).
    pub fn load(&mut self, source: &mut Source<'_>) -> Result<()> {
        // Safety: a live shard; the source is read during the call.
        source.lend(|source| call(|err| unsafe { sys::plr_shard_load(self.as_ptr(), source, err) }))
    }

    /// [`Shard::load`] from several snapshots, saved by shards of any split at one step. `MISMATCH` when
    /// they do not belong together or a block is missing.
    pub fn load_parts(&mut self, sources: &mut [Source<'_>]) -> Result<()> {
        Source::lend_all(sources, |sources, count| {
            // Safety: a live shard; `count` sources, which are read during the call.
            call(|err| unsafe { sys::plr_shard_load_parts(self.as_ptr(), sources, count, err) })
        })
    }

    /// Leaf hash of each of its blocks: weights, moments and step under global names.
    pub fn leaves(&mut self) -> Result<Vec<Hash>> {
        let mut leaves = vec![Hash::default(); self.blocks.len()];
        // Safety: a live shard; as many hashes as there are blocks.
        check(unsafe {
            let count = leaves.len() as u32;
            sys::plr_shard_leaves(self.as_ptr(), leaves.as_mut_ptr().cast(), count)
        })?;
        Ok(leaves)
    }

    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut sys::plr_shard {
        self.ptr.as_ptr()
    }

    pub(crate) fn read<'a>(
        &self,
        name: &'static str,
        data: Option<&'a [f32]>,
        rows: usize,
    ) -> Result<Option<Matrix<'a>>> {
        let cols = self.info().boundary_width as usize;
        match data {
            Some(data) if rows.checked_mul(cols) != Some(data.len()) => {
                Err(length(name, data.len(), rows.saturating_mul(cols)))
            }
            Some(data) => Matrix::new(data, rows, cols).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn write<'a>(
        &self,
        name: &'static str,
        data: Option<&'a mut [f32]>,
        rows: usize,
        cols: u32,
    ) -> Result<Option<MatrixMut<'a>>> {
        let cols = cols as usize;
        match data {
            Some(data) if rows.checked_mul(cols) != Some(data.len()) => {
                Err(length(name, data.len(), rows.saturating_mul(cols)))
            }
            Some(data) => MatrixMut::new(data, rows, cols).map(Some),
            None => Ok(None),
        }
    }
}

#[cold]
fn length(name: &'static str, len: usize, want: usize) -> Error {
    let text = format!("{name} has {len} elements, must have {want}");
    Error::new(Status::SHAPE, "shard", text)
}

pub(crate) fn pointer(matrix: &Option<Matrix<'_>>) -> *const sys::plr_tensor {
    matrix.as_ref().map_or(null(), Matrix::as_ptr)
}

pub(crate) fn pointer_mut(matrix: &mut Option<MatrixMut<'_>>) -> *mut sys::plr_tensor {
    matrix.as_mut().map_or(null_mut(), MatrixMut::as_mut_ptr)
}

/// What a set of snapshots holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// How many blocks of the model are there.
    pub blocks: u32,
    /// Optimizer steps done.
    pub steps: u64,
    /// Weight root of the state; `None` unless all blocks are there.
    pub root: Option<Hash>,
}

impl SnapshotInfo {
    /// Reads the headers of snapshots of `model` and checks that they belong together. Errors as of
    /// [`Shard::load_parts`].
    pub fn read(context: &Context, model: &Model, sources: &mut [Source<'_>]) -> Result<SnapshotInfo> {
        // Safety: all zero is a struct of numbers.
        let mut raw: sys::plr_snapshot_info = unsafe { std::mem::zeroed() };
        raw.struct_size = std::mem::size_of::<sys::plr_snapshot_info>() as u32;
        Source::lend_all(sources, |sources, count| {
            // Safety: live handles; `count` sources, which are read during the call; `raw` is written.
            call(|err| unsafe {
                let (context, model) = (context.as_ptr(), model.as_ptr());
                sys::plr_snapshot_inspect(context, model, sources, count, &mut raw, err)
            })
        })?;
        let root = (raw.blocks == model.info().blocks).then_some(Hash(raw.root.bytes));
        Ok(SnapshotInfo { blocks: raw.blocks, steps: raw.steps, root })
    }
}

/// How [`sample`] draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// 0 takes the largest logit, the first of equals.
    pub temperature: f32,
    /// Only the so many largest take part; 0 is all.
    pub top_k: u32,
    /// Of the random numbers.
    pub seed: u64,
}

/// Draws one token from V logits; the same for the same arguments. `position` counts the tokens drawn
/// with a seed. `INVALID_ARGUMENT`, `NON_FINITE`.
pub fn sample(logits: &[f32], how: Sampling, position: u64) -> Result<i32> {
    let vocab = u32_len("sample.logits", logits.len())?;
    let mut token = 0;
    // Safety: as many logits as the vocabulary has.
    check(unsafe {
        let (temperature, top_k, seed) = (how.temperature, how.top_k, how.seed);
        let logits = logits.as_ptr();
        sys::plr_sample(logits, vocab, temperature, top_k, seed, position, &mut token)
    })?;
    Ok(token)
}

/// Weight root of a whole model from the leaves of its blocks in order (RFC 6962 tree).
/// `INVALID_ARGUMENT` when there are none.
pub fn weight_root(leaves: &[Hash]) -> Result<Hash> {
    let count = u32_len("weight root", leaves.len())?;
    let mut root = Hash::default();
    // Safety: as many hashes as said; 32 bytes are written.
    check(unsafe { sys::plr_weight_root(leaves.as_ptr().cast(), count, root.as_mut_ptr()) })?;
    Ok(root)
}
