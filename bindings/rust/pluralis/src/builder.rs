//! A model of format 2, operation by operation.
use std::ffi::CString;
use std::ptr::{null, NonNull};

use crate::error::{call_cold, Error, Result, Status};
use crate::ffi::{c_text, codes, create, defaults};
use crate::{sys, Context, Model};

codes! {
    /// What an operation does (lib/model/BLOCKS.md).
    Layer {
        /// Rows of a table, by token.
        EMBEDDING = PLR_LAYER_EMBEDDING,
        /// Plus the row of a learned table at the token's position.
        POSITIONS = PLR_LAYER_POSITIONS,
        /// A matrix, with a bias when asked.
        LINEAR = PLR_LAYER_LINEAR,
        /// RMSNorm.
        RMSNORM = PLR_LAYER_RMSNORM,
        /// LayerNorm.
        LAYERNORM = PLR_LAYER_LAYERNORM,
        /// Rotary positions.
        ROPE = PLR_LAYER_ROPE,
        /// Causal attention.
        ATTENTION = PLR_LAYER_ATTENTION,
        /// x / (1 + exp(-x)).
        SILU = PLR_LAYER_SILU,
        /// With the error function.
        GELU = PLR_LAYER_GELU,
        /// With the hyperbolic tangent.
        GELU_TANH = PLR_LAYER_GELU_TANH,
        /// The square of max(x, 0).
        RELU2 = PLR_LAYER_RELU2,
        /// silu(gate) * up.
        SWIGLU = PLR_LAYER_SWIGLU,
        /// a + b.
        ADD = PLR_LAYER_ADD,
        /// a * b.
        MUL = PLR_LAYER_MUL,
        /// x times a number.
        SCALE = PLR_LAYER_SCALE,
        /// A mixture of experts.
        MOE = PLR_LAYER_MOE,
    }
}

codes! {
    /// How a rotary table is stretched.
    Scaling {
        /// Not at all.
        NONE = PLR_SCALING_NONE,
        /// All angles alike.
        LINEAR = PLR_SCALING_LINEAR,
        /// Slow ones only (Llama 3).
        LLAMA3 = PLR_SCALING_LLAMA3,
        /// YaRN.
        YARN = PLR_SCALING_YARN,
    }
}

/// Which list of operations follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// From token ids to the residual stream.
    Embed,
    /// A kind of block, and how many of it follow one another.
    Block(u32),
    /// From the residual stream to logits.
    Head,
}

/// One operation: what it does, and the keys of lib/model/BLOCKS.md as members. Those it does not have stay
/// as [`Op::new`] leaves them.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Op<'a> {
    pub layer: Layer,
    /// Operands: in; q, k, v; gate, up; a, b.
    pub inputs: &'a [&'a str],
    pub out: &'a str,
    /// Of the parameters.
    pub name: Option<&'a str>,
    pub cols: u32,
    pub bias: bool,
    pub write: bool,
    pub heads: u32,
    pub kv_heads: u32,
    pub head_dim: u32,
    pub window: u32,
    pub count: u32,
    pub experts: u32,
    pub top_k: u32,
    /// Of a mixture of experts: `Some(Layer::SILU)` and so on.
    pub act: Option<Layer>,
    pub renormalise: bool,
    pub scaling: Scaling,
    pub original: u32,
    pub std: f64,
    pub down_std: f64,
    pub eps: f64,
    pub theta: f64,
    pub balance: f64,
    /// Of attention (0: one over the root of head_dim), and the factor of a scale.
    pub scale: f64,
    pub factor: f64,
    pub low_freq: f64,
    pub high_freq: f64,
    pub beta_fast: f64,
    pub beta_slow: f64,
    pub attention_factor: f64,
}

impl<'a> Op<'a> {
    /// An operation without numbers.
    pub fn new(layer: Layer, inputs: &'a [&'a str], out: &'a str) -> Op<'a> {
        Op {
            layer,
            inputs,
            out,
            name: None,
            cols: 0,
            bias: false,
            write: false,
            heads: 0,
            kv_heads: 0,
            head_dim: 0,
            window: 0,
            count: 0,
            experts: 0,
            top_k: 0,
            act: None,
            renormalise: false,
            scaling: Scaling::NONE,
            original: 0,
            std: 0.0,
            down_std: 0.0,
            eps: 0.0,
            theta: 0.0,
            balance: 0.0,
            scale: 0.0,
            factor: 0.0,
            low_freq: 0.0,
            high_freq: 0.0,
            beta_fast: 0.0,
            beta_slow: 0.0,
            attention_factor: 0.0,
        }
    }
}

/// A model that is being described.
pub struct Builder {
    ptr: NonNull<sys::plr_builder>,
    context: Context,
}

impl Drop for Builder {
    fn drop(&mut self) {
        // Safety: a live handle.
        unsafe { sys::plr_builder_destroy(self.ptr.as_ptr()) }
    }
}

impl Builder {
    /// Takes a manifest of format 2 without `embed`, `blocks` and `head`: `MALFORMED`, `LIMIT`, `UNSUPPORTED`.
    pub fn new(context: &Context, manifest: &str) -> Result<Builder> {
        // Safety: a live context; the text is copied.
        let ptr = create(|out, err| unsafe {
            let (ctx, text) = (context.as_ptr(), manifest.as_ptr().cast());
            sys::plr_builder_create(ctx, text, manifest.len(), out, err)
        })?;
        Ok(Builder { ptr, context: context.clone() })
    }

    /// Begins a list and ends the one before: embed, then one or more kinds of block, then head. A list that is
    /// refused (`MALFORMED`) spoils the builder.
    pub fn begin(&mut self, part: Part) -> Result<()> {
        let (part, repeat) = match part {
            Part::Embed => (sys::PLR_PART_EMBED, 1),
            Part::Block(repeat) => (sys::PLR_PART_BLOCK, repeat),
            Part::Head => (sys::PLR_PART_HEAD, 1),
        };
        // Safety: a live handle.
        call_cold(|err| unsafe { sys::plr_builder_begin(self.ptr.as_ptr(), part, repeat, err) })
    }

    /// Appends an operation; one that is refused (`MALFORMED`) changes nothing.
    pub fn op(&mut self, op: &Op) -> Result<()> {
        if op.inputs.len() > 3 {
            let text = format!("{} operands", op.inputs.len());
            return Err(Error::new(Status::INVALID_ARGUMENT, "operation", text));
        }
        let inputs =
            op.inputs.iter().map(|name| c_text("operand", name)).collect::<Result<Vec<CString>>>()?;
        let (out, name) = (c_text("out", op.out)?, op.name.map(|name| c_text("name", name)).transpose()?);
        let input = |i: usize| inputs.get(i).map_or(null(), |text| text.as_ptr());
        // Safety: the `_init` function of this struct.
        let mut raw: sys::plr_op_desc = unsafe { defaults(|d, size| sys::plr_op_desc_init(d, size)) };
        raw.op = op.layer.0;
        (raw.in1, raw.in2, raw.in3) = (input(0), input(1), input(2));
        (raw.out, raw.name) = (out.as_ptr(), name.as_ref().map_or(null(), |text| text.as_ptr()));
        (raw.cols, raw.bias, raw.write) = (op.cols, op.bias.into(), op.write.into());
        (raw.heads, raw.kv_heads) = (op.heads, op.kv_heads);
        (raw.head_dim, raw.window, raw.count) = (op.head_dim, op.window, op.count);
        (raw.experts, raw.top_k) = (op.experts, op.top_k);
        (raw.act, raw.renormalise) = (op.act.map_or(0, |act| act.0), op.renormalise.into());
        (raw.scaling, raw.original) = (op.scaling.0, op.original);
        (raw.std, raw.down_std, raw.eps, raw.theta) = (op.std, op.down_std, op.eps, op.theta);
        (raw.balance, raw.scale, raw.factor) = (op.balance, op.scale, op.factor);
        (raw.low_freq, raw.high_freq) = (op.low_freq, op.high_freq);
        (raw.beta_fast, raw.beta_slow) = (op.beta_fast, op.beta_slow);
        raw.attention_factor = op.attention_factor;
        // Safety: a live handle; the texts live during the call.
        call_cold(|err| unsafe { sys::plr_builder_op(self.ptr.as_ptr(), &raw, err) })
    }

    /// Checks the whole and gives the model: errors as [`Model::from_json`].
    pub fn build(self) -> Result<Model> {
        // Safety: a live handle, which is dropped afterwards.
        let ptr = create(|out, err| unsafe { sys::plr_builder_build(self.ptr.as_ptr(), out, err) })?;
        Model::of(&self.context, ptr)
    }
}
