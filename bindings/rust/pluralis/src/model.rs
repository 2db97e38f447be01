//! A model as its designer describes it, and the text it is trained on.
use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::ptr::{null, NonNull};
use std::sync::Arc;

use crate::error::{call, Error, Result, Status};
use crate::ffi::{c_text, codes, create, defaults, record, sized, u32_len, FromC};
use crate::{sys, Context, Hash};

codes! {
    /// What crosses a cut.
    Boundary {
        /// The residual stream as it is: d_model values a token.
        DENSE = PLR_BOUNDARY_DENSE,
        /// Coordinates in a fixed subspace: `rank` values a token.
        SUBSPACE = PLR_BOUNDARY_SUBSPACE,
        /// Coordinates that both sides learn: `rank` values a token.
        PROJECTOR = PLR_BOUNDARY_PROJECTOR,
    }
}

codes! {
    /// How the learning rate changes after the warm-up.
    Schedule {
        /// Not at all.
        CONSTANT = PLR_SCHEDULE_CONSTANT,
        /// In a straight line.
        LINEAR = PLR_SCHEDULE_LINEAR,
        /// Along half a cosine.
        COSINE = PLR_SCHEDULE_COSINE,
        /// Constant, then in a straight line over the last steps.
        WSD = PLR_SCHEDULE_WSD,
    }
}

codes! {
    /// What turns gradients into steps.
    Optimizer {
        /// AdamW.
        ADAMW = PLR_OPTIMIZER_ADAMW,
        /// Adam with Nesterov's momentum, decoupled decay.
        NADAM = PLR_OPTIMIZER_NADAM,
        /// Orthogonalised momentum for the matrices of blocks, AdamW for the rest.
        MUON = PLR_OPTIMIZER_MUON,
        /// Stochastic gradient descent with momentum.
        SGDM = PLR_OPTIMIZER_SGDM,
        /// AdamW with one second moment a row or column.
        ADAMW_ROW = PLR_OPTIMIZER_ADAMW_ROW,
    }
}

codes! {
    /// How activations are kept from forward to backward.
    Storage {
        /// As they are.
        F32 = PLR_STORAGE_F32,
        /// Rounded to bf16.
        BF16 = PLR_STORAGE_BF16,
    }
}

codes! {
    /// Whose gradient norm is limited.
    ClipScope {
        /// Each block's.
        BLOCK = PLR_CLIP_BLOCK,
        /// The whole model's.
        GLOBAL = PLR_CLIP_GLOBAL,
    }
}

record! {
    /// The manifest's fields as numbers.
    ModelInfo from plr_model_info {
        /// Blocks in the model.
        blocks: u32,
        /// Width of the residual stream.
        d_model: u32,
        /// Query heads.
        heads: u32,
        /// Key and value heads.
        kv_heads: u32,
        /// Width of a head.
        head_dim: u32,
        /// Width of the gated MLP.
        d_ff: u32,
        /// Symbols.
        vocab: u32,
        /// How many cuts there are; see [`Model::cuts`].
        cut_count: u32,
        /// What crosses a cut.
        boundary: Boundary,
        /// Values a token on the wire: d_model or rank.
        boundary_width: u32,
        /// First block that is not held in the subspace; 0 for dense.
        first_full_rank: u32,
        /// Tokens in a sequence.
        seq_len: u32,
        /// Sequences in a micro-batch.
        micro_batch: u32,
        /// Micro-batches in a step.
        micro_batches: u32,
        /// Steps of the recipe.
        steps: u32,
        /// Steps over which the learning rate rises.
        warmup_steps: u32,
        /// How the learning rate falls.
        schedule: Schedule,
        /// Added under the root of a norm.
        norm_eps: f32,
        /// Standard deviation of initial weights.
        init_std: f32,
        /// Standard deviation of the initial embedding.
        embed_std: f32,
        /// Standard deviation of anchor rows.
        anchor_std: f32,
        /// Learning rate.
        lr: f32,
        /// Lowest learning rate as a part of `lr`.
        min_lr_ratio: f32,
        /// Of the optimizer; the momentum of SGDM.
        beta1: f32,
        /// Of the optimizer; 0 for SGDM.
        beta2: f32,
        /// Of the optimizer; 0 for SGDM.
        eps: f32,
        /// Of the optimizer.
        weight_decay: f32,
        /// Largest gradient norm; 0 is off.
        clip: f32,
        /// Base of the rotary embedding.
        rope_theta: f64,
        /// Of the initial weights.
        seed: u64,
        /// Of the boundary's basis and anchors.
        boundary_seed: u64,
        /// Of the micro-batches.
        data_seed: u64,
        /// Trainable numbers in the whole model.
        parameters: u64,
        /// What turns gradients into steps.
        optimizer: Optimizer,
        /// Whose norm `clip` limits.
        clip_scope: ClipScope,
        /// Of the schedule WSD, else 0.
        decay_steps: u32,
        /// Of NAdam, else 0.
        momentum_decay: f32,
        /// Learning rate of Muon, else 0.
        muon_lr: f32,
        /// Of Muon, else 0.
        muon_momentum: f32,
        /// Of the manifest: 1 or 2.
        format: u32,
        /// Weight of the squared logarithm of the softmax's sum; 0 in format 1.
        z_loss: f32,
        /// How activations are kept for backward.
        storage: Storage,
    }
}

impl ModelInfo {
    /// Tokens of a training micro-batch, labels included: micro_batch x (seq_len + 1).
    pub fn batch_tokens(&self) -> usize {
        self.micro_batch as usize * (self.seq_len as usize + 1)
    }

    /// Token rows of a micro-batch, N = micro_batch x seq_len.
    pub fn rows(&self) -> usize {
        self.micro_batch as usize * self.seq_len as usize
    }
}

/// A model: immutable, cheap to clone, shared by threads.
#[derive(Clone)]
pub struct Model(Arc<Inner>);

struct Inner {
    ptr: NonNull<sys::plr_model>,
    info: ModelInfo,
    _context: Context,
}

// Safety: <pluralis/model.h>: immutable; const functions on it may run from any thread.
unsafe impl Send for Inner {}
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        // Safety: no clone is left.
        unsafe { sys::plr_model_destroy(self.ptr.as_ptr()) }
    }
}

/// What config.json of a published model does not say.
#[derive(Clone, Debug, Default)]
pub struct ConfigOptions {
    /// Blocks at which the model may be split, as in a manifest.
    pub cuts: Vec<u32>,
    /// Of the model; `None` is the config's model_type.
    pub name: Option<String>,
    /// JSON object, as in a manifest; `None` is dense.
    pub boundary: Option<String>,
    /// JSON object, as in a manifest; `None` is enough for serving.
    pub train: Option<String>,
    /// Of initial weights.
    pub seed: u64,
}

impl Model {
    /// Reads a manifest (see `<pluralis/model.h>`). What is wrong with it is named in `where_`, such as
    /// `manifest.boundary.rank`: `MALFORMED`, `LIMIT`, `UNSUPPORTED`.
    pub fn from_json(context: &Context, json: &str) -> Result<Model> {
        // Safety: a live context; the text is read.
        let ptr = create(|out, err| unsafe {
            let ctx = context.as_ptr();
            sys::plr_model_from_json(ctx, json.as_ptr().cast(), json.len(), out, err)
        })?;
        Model::of(context, ptr)
    }

    /// Reads config.json of a published model (see `<pluralis/model.h>`). Keys that are not known and may
    /// change what is computed are refused by name: `UNSUPPORTED`.
    pub fn from_config(context: &Context, json: &str, options: &ConfigOptions) -> Result<Model> {
        let text = |what, text: &Option<String>| text.as_deref().map(|t| c_text(what, t)).transpose();
        let name = text("config options.name", &options.name)?;
        let boundary = text("config options.boundary", &options.boundary)?;
        let train = text("config options.train", &options.train)?;
        let pointer = |text: &Option<CString>| text.as_ref().map_or(null(), |t| t.as_ptr());
        // Safety: the `_init` function of these options.
        let mut raw: sys::plr_config_options =
            unsafe { defaults(|o, size| sys::plr_config_options_init(o, size)) };
        raw.cut_count = u32_len("config options.cuts", options.cuts.len())?;
        raw.cuts = options.cuts.as_ptr();
        raw.name = pointer(&name);
        raw.boundary = pointer(&boundary);
        raw.train = pointer(&train);
        raw.seed = options.seed;
        // Safety: a live context; texts and options live during the call.
        let ptr = create(|out, err| unsafe {
            let (ctx, text) = (context.as_ptr(), json.as_ptr().cast());
            sys::plr_model_from_config(ctx, text, json.len(), &raw, out, err)
        })?;
        Model::of(context, ptr)
    }

    pub(crate) fn of(context: &Context, ptr: NonNull<sys::plr_model>) -> Result<Model> {
        // Safety: a struct with a struct_size.
        let mut info: sys::plr_model_info = unsafe { sized() };
        // Safety: a live model; `info` is written.
        let filled = call(|_| unsafe { sys::plr_model_get_info(ptr.as_ptr(), &mut info) });
        let model = Model(Arc::new(Inner { ptr, info: ModelInfo::from_c(info), _context: context.clone() }));
        filled.map(|()| model)
    }

    /// SHA-256 of its canonical form: the model's name on links and in the ledger.
    pub fn hash(&self) -> Hash {
        let mut hash = Hash::default();
        // Safety: a live model; 32 bytes are written.
        unsafe { sys::plr_model_hash(self.as_ptr(), hash.as_mut_ptr()) };
        hash
    }

    /// The manifest's fields as numbers.
    pub fn info(&self) -> &ModelInfo {
        &self.0.info
    }

    /// Name from the manifest.
    pub fn name(&self) -> Cow<'_, str> {
        // Safety: a text that lives as long as the model.
        unsafe { CStr::from_ptr(sys::plr_model_name(self.as_ptr())) }.to_string_lossy()
    }

    /// config.json for the files that [`crate::Shard::export`] writes; `None` for a model that was not made
    /// from one.
    pub fn config(&self) -> Option<Cow<'_, str>> {
        // Safety: a text that lives as long as the model, or null.
        unsafe {
            let text = sys::plr_model_config(self.as_ptr());
            (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy())
        }
    }

    /// Positions of the cuts, ascending: a cut c lies between block c-1 and block c.
    pub fn cuts(&self) -> Vec<u32> {
        (0..self.info().cut_count)
            // Safety: a live model.
            .map(|i| unsafe { sys::plr_model_cut(self.as_ptr(), i) })
            .collect()
    }

    /// Whether a shard may start or end at block position `p`.
    pub fn can_cut(&self, p: u32) -> bool {
        // Safety: a live model.
        unsafe { sys::plr_model_can_cut(self.as_ptr(), p) != 0 }
    }

    /// Floating-point operations of one block for one token, forward and backward: the ledger's units.
    /// 0 when there is no such block.
    pub fn block_cost(&self, block: u32) -> u64 {
        // Safety: a live model.
        unsafe { sys::plr_model_block_cost(self.as_ptr(), block) }
    }

    pub(crate) fn as_ptr(&self) -> *const sys::plr_model {
        self.0.ptr.as_ptr()
    }
}

/// Part of a corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// The first nine tenths.
    Train,
    /// The last tenth, rounded down.
    Validation,
}

/// A text as bytes: immutable, cheap to clone, shared by threads.
#[derive(Clone)]
pub struct Corpus(Arc<CorpusInner>);

struct CorpusInner {
    ptr: NonNull<sys::plr_corpus>,
    _text: Cow<'static, [u8]>,
    _context: Context,
}

// Safety: <pluralis/model.h>: after creation all functions take a const handle.
unsafe impl Send for CorpusInner {}
unsafe impl Sync for CorpusInner {}

impl Drop for CorpusInner {
    fn drop(&mut self) {
        // Safety: no clone is left.
        unsafe { sys::plr_corpus_destroy(self.ptr.as_ptr()) }
    }
}

impl Corpus {
    /// Takes a text. `INVALID_ARGUMENT` when it is empty.
    pub fn new(context: &Context, text: impl Into<Cow<'static, [u8]>>) -> Result<Corpus> {
        let text = text.into();
        // Safety: the bytes do not move when the `Cow` does, and live until the handle is destroyed.
        let ptr = create(|out, err| unsafe {
            let ctx = context.as_ptr();
            sys::plr_corpus_create(ctx, text.as_ptr().cast(), text.len(), out, err)
        })?;
        Ok(Corpus(Arc::new(CorpusInner { ptr, _text: text, _context: context.clone() })))
    }

    /// Merkle root (RFC 6962) over pieces of 64 KiB.
    pub fn root(&self) -> Hash {
        let mut root = Hash::default();
        // Safety: a live corpus; 32 bytes are written.
        unsafe { sys::plr_corpus_root(self.as_ptr(), root.as_mut_ptr()) };
        root
    }

    /// Micro-batch `index`: rows x (seq_len + 1) tokens, the last of each row only a label. A function
    /// of the arguments and the text alone. `INVALID_ARGUMENT` when the text is too short.
    pub fn batch(&self, split: Split, seed: u64, index: u64, rows: u32, seq_len: u32) -> Result<Vec<i32>> {
        let len = rows as usize * (seq_len as usize + 1);
        let mut tokens = Vec::new();
        if tokens.try_reserve_exact(len).is_err() {
            let text = format!("{len} tokens");
            return Err(Error::new(Status::NO_MEMORY, "corpus batch", text));
        }
        tokens.resize(len, 0);
        self.batch_into(split, seed, index, rows, seq_len, &mut tokens)?;
        Ok(tokens)
    }

    /// The same into `tokens`, of which there are rows x (seq_len + 1), else `SHAPE`.
    pub fn batch_into(
        &self,
        split: Split,
        seed: u64,
        index: u64,
        rows: u32,
        seq_len: u32,
        tokens: &mut [i32],
    ) -> Result<()> {
        let len = rows as usize * (seq_len as usize + 1);
        if tokens.len() != len {
            let text = format!("{rows} rows of {seq_len} + 1 are not {} tokens", tokens.len());
            return Err(Error::new(Status::SHAPE, "corpus batch", text));
        }
        let split = match split {
            Split::Train => sys::PLR_SPLIT_TRAIN,
            Split::Validation => sys::PLR_SPLIT_VALIDATION,
        };
        // Safety: a live corpus; the length is what is written.
        call(|err| unsafe {
            let out = tokens.as_mut_ptr();
            sys::plr_corpus_batch(self.as_ptr(), split, seed, index, rows, seq_len, out, err)
        })
    }

    pub(crate) fn as_ptr(&self) -> *const sys::plr_corpus {
        self.0.ptr.as_ptr()
    }
}
