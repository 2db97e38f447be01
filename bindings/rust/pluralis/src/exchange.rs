//! Compressed activation exchange: a tensor becomes a frame of few bytes, and back.
//!
//! A codec is four choices: predict, transform, quantise, entropy-code. A frame says which in its
//! header, so a decoder needs no options. Frames are byte-identical on every machine.
use std::marker::PhantomData;
use std::ptr::{null, NonNull};
use std::str::FromStr;

use crate::error::{call, check, Error, Result, Status};
use crate::ffi::{c_text, codes, create, record, sized, u32_len, FromC};
use crate::tensor::{Matrix, MatrixMut};
use crate::{sys, Context};

codes! {
    /// What a frame holds.
    Role {
        /// What a shard put out.
        ACTIVATION = PLR_ROLE_ACTIVATION,
        /// The gradient of an activation.
        GRADIENT = PLR_ROLE_GRADIENT,
        /// Token ids.
        TOKENS = PLR_ROLE_TOKENS,
        /// A change of weights.
        DELTA = PLR_ROLE_DELTA,
        /// Weights or optimizer state.
        STATE = PLR_ROLE_STATE,
        /// Opaque bytes.
        CONTROL = PLR_ROLE_CONTROL,
    }
}

/// How a tensor is coded. The ids are `PLR_PREDICT_*`, `PLR_TRANSFORM_*`, `PLR_QUANT_*` and
/// `PLR_ENTROPY_*` of [`crate::sys`]; all zero but `dtype` is raw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Codec {
    /// Predictor.
    pub predict: u8,
    /// Transform.
    pub transform: u8,
    /// Quantiser.
    pub quant: u8,
    /// Entropy coder.
    pub entropy: u8,
    /// Of the raw values: [`crate::Dtype::F32`], `BF16` or `F16`.
    pub dtype: u8,
    /// Of block integers and so on, see `plr_codec`.
    pub bits: u8,
    /// Values a scale and so on, see `plr_codec`.
    pub group: u16,
}

impl Codec {
    const ZERO: Codec = Codec { predict: 0, transform: 0, quant: 0, entropy: 0, dtype: 0, bits: 0, group: 0 };

    fn as_ptr(&self) -> *const sys::plr_codec {
        (self as *const Codec).cast()
    }

    pub(crate) fn to_c(self) -> sys::plr_codec {
        // Safety: the same layout, all of it numbers.
        unsafe { *self.as_ptr() }
    }
}

impl FromStr for Codec {
    type Err = Error;

    /// `raw`, `bf16`, `int4`, `uniform4`, `topk` and so on, with options after a `+`; <pluralis/exchange.h> has
    /// the grammar. Else `NOT_FOUND`.
    fn from_str(name: &str) -> Result<Codec> {
        let text = c_text("codec", name)?;
        let mut codec = Codec::ZERO;
        // Safety: the text is read, a codec of the same layout written.
        let out = (&mut codec as *mut Codec).cast();
        check(unsafe { sys::plr_codec_from_name(text.as_ptr(), out) })?;
        Ok(codec)
    }
}

/// What a frame says of itself. To encode, give role, stream, step, micro_batch and seed; the rest is
/// filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FrameInfo {
    struct_size: u32,
    /// What it holds.
    pub role: Role,
    /// Chosen by the host.
    pub stream: u32,
    /// Training step.
    pub step: u32,
    /// Micro-batch within the step.
    pub micro_batch: u32,
    /// Of closed-loop state; 0 when stateless.
    pub generation: u32,
    /// Of whatever is random in the codec.
    pub seed: u64,
    /// Rows of the tensor or of token ids; 1 for control.
    pub rows: u32,
    /// Columns of the tensor or of token ids; bytes of a control payload.
    pub cols: u32,
    /// Token ids are below it; else 0.
    pub vocab: u32,
    /// Pieces the payload is cut into.
    pub chunks: u32,
    /// Bytes after the header.
    pub payload_len: u32,
    /// How it is coded.
    pub codec: Codec,
    /// Of predictors: [`FrameInfo::KEY`] or [`FrameInfo::PLAIN`], else 0.
    pub flags: u32,
}

impl FrameInfo {
    /// Nothing is predicted, and what either side holds for the frame's keys is forgotten first.
    pub const KEY: u32 = sys::PLR_FRAME_KEY;
    /// Nothing is predicted, as it would not pay.
    pub const PLAIN: u32 = sys::PLR_FRAME_PLAIN;

    /// Of a frame to be encoded.
    pub fn new(role: Role) -> FrameInfo {
        FrameInfo {
            struct_size: std::mem::size_of::<FrameInfo>() as u32,
            role,
            stream: 0,
            step: 0,
            micro_batch: 0,
            generation: 0,
            seed: 0,
            rows: 0,
            cols: 0,
            vocab: 0,
            chunks: 0,
            payload_len: 0,
            codec: Codec::ZERO,
            flags: 0,
        }
    }

    /// `plr_frame_info` has the same layout: nothing is converted on the way of every frame.
    #[inline]
    fn as_ptr(&self) -> *const sys::plr_frame_info {
        (self as *const FrameInfo).cast()
    }
}

/// Calls a function that fills a frame info.
#[inline]
fn with_info(
    function: impl FnOnce(*mut sys::plr_frame_info, *mut sys::plr_error) -> sys::plr_status,
) -> Result<FrameInfo> {
    let mut info = FrameInfo::new(Role(0));
    call(|err| function((&mut info as *mut FrameInfo).cast(), err))?;
    Ok(info)
}

/// Calls a function that writes a frame to where there is room for `*len` bytes, or says in `*len` how
/// much it needs. `out` keeps its room, so that the second frame is written without allocating.
#[inline]
fn write_frame(
    out: &mut Vec<u8>,
    mut function: impl FnMut(*mut u8, *mut usize) -> sys::plr_status,
) -> Result<()> {
    out.clear();
    loop {
        let room = out.capacity();
        let mut len = room;
        match function(out.as_mut_ptr(), &mut len) {
            sys::PLR_OK => {
                assert!(len <= room);
                // Safety: the function has written `len` bytes.
                unsafe { out.set_len(len) };
                return Ok(());
            }
            sys::PLR_ERR_BUFFER_TOO_SMALL if len > room => {
                if out.try_reserve(len).is_err() {
                    let text = format!("a frame of {len} bytes");
                    return Err(Error::new(Status::NO_MEMORY, "frame", text));
                }
            }
            status => return check(status),
        }
    }
}

/// Reads and checks the header, the extensions and the length of a whole frame, not the checksums of
/// its chunks. `TRUNCATED`, `MALFORMED`, `CHECKSUM`, `VERSION`, `UNSUPPORTED`, `LIMIT`, with the byte in
/// `offset`.
pub fn parse_frame(context: &Context, frame: &[u8]) -> Result<FrameInfo> {
    // Safety: a live context; the frame is read.
    with_info(|info, err| unsafe {
        sys::plr_frame_parse(context.as_ptr(), frame.as_ptr().cast(), frame.len(), info, err)
    })
}

/// Makes frames of tensors. Used by one thread at a time.
pub struct Encoder {
    ptr: NonNull<sys::plr_encoder>,
    bound: usize,
    _context: Context,
}

// Safety: <pluralis/base.h>: used by one thread at a time, any of them.
unsafe impl Send for Encoder {}

impl Drop for Encoder {
    fn drop(&mut self) {
        // Safety: a live encoder.
        unsafe { sys::plr_encoder_destroy(self.ptr.as_ptr()) }
    }
}

impl Encoder {
    /// For tensors up to max_rows x max_cols; all its memory is taken here. `UNSUPPORTED`, `LIMIT`,
    /// `INVALID_ARGUMENT`.
    pub fn new(context: &Context, codec: Codec, max_rows: u32, max_cols: u32) -> Result<Encoder> {
        // Safety: a live context; the codec is read.
        let ptr = create(|out, err| unsafe {
            sys::plr_encoder_create(context.as_ptr(), codec.as_ptr(), max_rows, max_cols, out, err)
        })?;
        Ok(Encoder {
            ptr,
            // Safety: a live encoder.
            bound: unsafe { sys::plr_encoder_bound(ptr.as_ptr()) },
            _context: context.clone(),
        })
    }

    /// Largest frame it can make, in bytes.
    pub fn bound(&self) -> usize {
        self.bound
    }

    /// Puts the frame of `x` into `out`, in place of what was there; nothing is allocated when `out` has
    /// room for [`Encoder::bound`] bytes. `SHAPE`; `INVALID_ARGUMENT` (role); `NON_FINITE` (lossy
    /// codecs).
    #[inline]
    pub fn encode(&mut self, info: &FrameInfo, x: &Matrix<'_>, out: &mut Vec<u8>) -> Result<()> {
        // Safety: a live encoder; `*len` is the room at `to`.
        write_frame(out, |to, len| unsafe {
            let cap = *len;
            sys::plr_encoder_encode(self.ptr.as_ptr(), info.as_ptr(), x.as_ptr(), to.cast(), cap, len)
        })
    }
}

impl Encoder {
    /// Most bytes of a frame from now on, 0 for no budget; of the codecs uniform, dither and trellis.
    /// `UNSUPPORTED`.
    pub fn set_budget(&mut self, bytes: u64) -> Result<()> {
        // Safety: a live encoder.
        check(unsafe { sys::plr_encoder_set_budget(self.ptr.as_ptr(), bytes) })
    }

    /// The signal-to-noise ratio to aim at, and the least that encode accepts; 0 for none. `UNSUPPORTED`,
    /// `INVALID_ARGUMENT`.
    pub fn set_snr(&mut self, target_db: f64, floor_db: f64) -> Result<()> {
        // Safety: a live encoder.
        check(unsafe { sys::plr_encoder_set_snr(self.ptr.as_ptr(), target_db, floor_db) })
    }

    /// The same frame in pieces, the first of which can leave before the last is coded. Errors of
    /// [`Encoder::encode`].
    pub fn pieces<'a>(&'a mut self, info: &FrameInfo, x: &'a Matrix<'_>) -> Result<Pieces<'a>> {
        // Safety: a live encoder; the result borrows it and the matrix.
        check(unsafe { sys::plr_encoder_begin(self.ptr.as_ptr(), info.as_ptr(), x.as_ptr()) })?;
        Ok(Pieces { encoder: self, _matrix: PhantomData })
    }

    /// Memory of a codec with a predictor: what the last `entries` samples or tokens, each of at most
    /// `rows` rows, decoded to. The decoder needs the same. `UNSUPPORTED`, `INVALID_ARGUMENT`, `LIMIT`.
    pub fn set_store(&mut self, entries: u32, rows: u32) -> Result<()> {
        // Safety: a live encoder.
        check(unsafe { sys::plr_encoder_set_store(self.ptr.as_ptr(), entries, rows) })
    }

    /// What the rows of the next frame belong to: samples, or of an anchor the token of each row.
    /// `UNSUPPORTED`, `INVALID_ARGUMENT`, `INVALID_STATE`.
    pub fn set_keys(&mut self, keys: &[u64]) -> Result<()> {
        let count = u32_len("keys", keys.len())?;
        // Safety: a live encoder; the keys are read.
        check(unsafe { sys::plr_encoder_set_keys(self.ptr.as_ptr(), keys.as_ptr(), count) })
    }

    /// Forgets all predictions, here and with the next frame at the decoder. `UNSUPPORTED`,
    /// `INVALID_ARGUMENT` (the generation is that of before).
    pub fn reset(&mut self, generation: u32) -> Result<()> {
        // Safety: a live encoder.
        check(unsafe { sys::plr_encoder_reset(self.ptr.as_ptr(), generation) })
    }

    /// The orthonormal basis (cols x rank) of a codec with one. The decoder needs the same.
    /// `UNSUPPORTED`, `SHAPE`, `NON_FINITE`.
    pub fn set_basis(&mut self, basis: &Matrix<'_>, generation: u32) -> Result<()> {
        // Safety: a live encoder; the matrix is read.
        call(|err| unsafe { sys::plr_encoder_set_basis(self.ptr.as_ptr(), basis.as_ptr(), generation, err) })
    }

    /// What it has done.
    pub fn stats(&self) -> EncoderStats {
        // Safety: a live encoder; the struct has its size.
        let mut stats: sys::plr_encoder_stats = unsafe { sized() };
        unsafe { sys::plr_encoder_get_stats(self.ptr.as_ptr(), &mut stats) };
        EncoderStats::from_c(stats)
    }
}

/// A frame on its way out, from [`Encoder::pieces`].
pub struct Pieces<'a> {
    encoder: &'a mut Encoder,
    _matrix: PhantomData<&'a [f32]>,
}

impl Pieces<'_> {
    /// Puts the next piece into `out`, in place of what was there, and says how many rows are left: with
    /// 0 the frame is complete. `INVALID_STATE` after that, `LIMIT`, `NON_FINITE`.
    pub fn next_piece(&mut self, out: &mut Vec<u8>) -> Result<u32> {
        let mut left = 0;
        // Safety: a live encoder; `*len` is the room at `to`.
        write_frame(out, |to, len| unsafe {
            let (encoder, cap) = (self.encoder.ptr.as_ptr(), *len);
            sys::plr_encoder_next(encoder, to.cast(), cap, len, &mut left)
        })?;
        Ok(left)
    }
}

record! {
    /// What an encoder has done.
    EncoderStats from plr_encoder_stats {
        /// Since it was made.
        frames: u64,
        /// Since it was made.
        values: u64,
        /// Since it was made, headers counted.
        bytes: u64,
        /// Sum of squares of the last frame; of the codecs uniform, dither and trellis.
        signal_power: f64,
        /// Sum of squares of its error.
        noise_power: f64,
    }
}

/// Reads frames of tensors, of any codec. Used by one thread at a time.
pub struct Decoder {
    ptr: NonNull<sys::plr_decoder>,
    _context: Context,
}

// Safety: <pluralis/base.h>: used by one thread at a time, any of them.
unsafe impl Send for Decoder {}

impl Drop for Decoder {
    fn drop(&mut self) {
        // Safety: a live decoder.
        unsafe { sys::plr_decoder_destroy(self.ptr.as_ptr()) }
    }
}

impl Decoder {
    /// For frames up to max_rows x max_cols; all its memory is taken here. `LIMIT`, `INVALID_ARGUMENT`.
    pub fn new(context: &Context, max_rows: u32, max_cols: u32) -> Result<Decoder> {
        // Safety: a live context.
        let ptr = create(|out, err| unsafe {
            sys::plr_decoder_create(context.as_ptr(), max_rows, max_cols, out, err)
        })?;
        Ok(Decoder { ptr, _context: context.clone() })
    }

    /// Decodes a frame into `x`, which has its shape. On failure the contents of `x` are unspecified.
    /// Errors of [`parse_frame`], and `SHAPE`, `LIMIT`, `CHECKSUM`, `NON_FINITE`.
    #[inline]
    pub fn decode(&mut self, frame: &[u8], x: &mut MatrixMut<'_>) -> Result<FrameInfo> {
        // Safety: a live decoder; the frame is read, the view written within its shape.
        with_info(|info, err| unsafe {
            let (data, len) = (frame.as_ptr().cast(), frame.len());
            sys::plr_decoder_decode(self.ptr.as_ptr(), data, len, x.as_mut_ptr(), info, err)
        })
    }

    /// The next frame comes in pieces, and goes to `x`, which has its shape. `SHAPE`.
    pub fn incoming<'a>(&'a mut self, x: &'a mut MatrixMut<'_>) -> Result<Incoming<'a>> {
        // Safety: a live decoder; the result borrows it and the matrix.
        call(|err| unsafe { sys::plr_decoder_begin(self.ptr.as_ptr(), x.as_mut_ptr(), err) })?;
        Ok(Incoming { decoder: self, _matrix: PhantomData })
    }

    /// Memory for frames of a codec with a predictor, as [`Encoder::set_store`]. `SEQUENCE` then answers
    /// frames that build on one that was lost: the sender has to send a key frame.
    pub fn set_store(&mut self, entries: u32, rows: u32) -> Result<()> {
        // Safety: a live decoder.
        check(unsafe { sys::plr_decoder_set_store(self.ptr.as_ptr(), entries, rows) })
    }

    /// The basis of frames with one, as [`Encoder::set_basis`]; `MISMATCH` answers those of another.
    pub fn set_basis(&mut self, basis: &Matrix<'_>, generation: u32) -> Result<()> {
        // Safety: a live decoder; the matrix is read.
        call(|err| unsafe { sys::plr_decoder_set_basis(self.ptr.as_ptr(), basis.as_ptr(), generation, err) })
    }
}

/// A frame on its way in, from [`Decoder::incoming`].
pub struct Incoming<'a> {
    decoder: &'a mut Decoder,
    _matrix: PhantomData<&'a mut [f32]>,
}

impl Incoming<'_> {
    /// Takes bytes, as many as there are; returns how many of them (all, unless the frame is complete),
    /// and how many rows are finished. Errors of [`Decoder::decode`], after which the frame is given up.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(usize, u32)> {
        let (mut used, mut rows) = (0, 0);
        // Safety: a live decoder, whose matrix this borrows; the bytes are read.
        call(|err| unsafe {
            let (data, len) = (bytes.as_ptr().cast(), bytes.len());
            let info = std::ptr::null_mut();
            sys::plr_decoder_feed(self.decoder.ptr.as_ptr(), data, len, &mut used, &mut rows, info, err)
        })?;
        Ok((used, rows))
    }
}

/// Error feedback for deltas of one tensor: a frame carries decay * error + x, and what it leaves out becomes
/// the error when it is committed. Used by one thread at a time.
pub struct Feedback {
    ptr: NonNull<sys::plr_feedback>,
    shape: (u32, u32),
    _context: Context,
}

// Safety: <pluralis/base.h>: used by one thread at a time, any of them.
unsafe impl Send for Feedback {}

impl Drop for Feedback {
    fn drop(&mut self) {
        // Safety: a live feedback.
        unsafe { sys::plr_feedback_destroy(self.ptr.as_ptr()) }
    }
}

impl Feedback {
    /// An error of zeros for tensors of rows x cols; `decay` 0 to 1. `INVALID_ARGUMENT`, `LIMIT`.
    pub fn new(context: &Context, rows: u32, cols: u32, decay: f32) -> Result<Feedback> {
        // Safety: a live context.
        let ptr = create(|out, err| unsafe {
            sys::plr_feedback_create(context.as_ptr(), rows, cols, decay, out, err)
        })?;
        Ok(Feedback { ptr, shape: (rows, cols), _context: context.clone() })
    }

    /// As [`Encoder::encode`], of a delta; the frame is pending until [`Feedback::commit`] or
    /// [`Feedback::rollback`]. The decoder, of no closed-loop state, says what the peer will have.
    /// `INVALID_STATE` while a frame is pending; `SHAPE`, `NON_FINITE`.
    pub fn encode(
        &mut self,
        encoder: &mut Encoder,
        decoder: &mut Decoder,
        info: &FrameInfo,
        x: &Matrix<'_>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        // Safety: three live handles; `*len` is the room at `to`.
        write_frame(out, |to, len| unsafe {
            let (cap, e, d) = (*len, encoder.ptr.as_ptr(), decoder.ptr.as_ptr());
            sys::plr_feedback_encode(self.ptr.as_ptr(), e, d, info.as_ptr(), x.as_ptr(), to.cast(), cap, len)
        })
    }

    /// The pending frame arrived. `INVALID_STATE` when none is pending.
    pub fn commit(&mut self) -> Result<()> {
        // Safety: a live feedback.
        check(unsafe { sys::plr_feedback_commit(self.ptr.as_ptr()) })
    }

    /// It did not: the same delta has to be encoded again. `INVALID_STATE` when none is pending.
    pub fn rollback(&mut self) -> Result<()> {
        // Safety: a live feedback.
        check(unsafe { sys::plr_feedback_rollback(self.ptr.as_ptr()) })
    }

    /// XXH3-64 of the committed error.
    pub fn hash(&self) -> u64 {
        let mut out = 0;
        // Safety: a live feedback; out is written.
        unsafe { sys::plr_feedback_hash(self.ptr.as_ptr(), &mut out) };
        out
    }

    /// The committed error, rows x cols; written to when it is restored.
    pub fn error(&mut self) -> &mut [f32] {
        // Safety: a live feedback; the view, all zeros, is written.
        unsafe {
            let mut view: sys::plr_tensor = std::mem::zeroed();
            sys::plr_feedback_tensor(self.ptr.as_ptr(), &mut view);
            let len = self.shape.0 as usize * self.shape.1 as usize;
            std::slice::from_raw_parts_mut(view.data.cast(), len)
        }
    }
}

/// A keyed mask: the values of a tensor that one round of averaging takes. The same key gives the same values
/// everywhere; over `masks` rounds every value is taken once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Mask {
    /// Values of the tensor, 1 to 2^48.
    pub total: u64,
    /// The same for all peers, another for each tensor.
    pub key: u64,
    /// 1 to 65535 parts that the tensor is cut into.
    pub masks: u32,
    /// Modulo masks.
    pub round: u32,
}

impl Mask {
    fn as_ptr(&self) -> *const sys::plr_mask {
        (self as *const Mask).cast()
    }

    /// How many values it takes. `INVALID_ARGUMENT`.
    pub fn count(&self) -> Result<u64> {
        let mut out = 0;
        // Safety: a mask that is read; out is written.
        check(unsafe { sys::plr_mask_count(self.as_ptr(), &mut out) })?;
        Ok(out)
    }

    /// Where values from `first` on lie, as many as `out` holds. `INVALID_ARGUMENT`.
    pub fn indices(&self, first: u64, out: &mut [u64]) -> Result<()> {
        // Safety: a mask that is read; out has that many.
        check(unsafe { sys::plr_mask_indices(self.as_ptr(), first, out.len() as u64, out.as_mut_ptr()) })
    }

    /// Values from `first` on, as many as `out` holds, of `weights`. `SHAPE`, `INVALID_ARGUMENT`.
    pub fn gather(&self, first: u64, weights: &[f32], out: &mut [f32]) -> Result<()> {
        let weights = Matrix::new(weights, 1, weights.len())?;
        let len = out.len();
        let mut out = MatrixMut::new(out, 1, len)?;
        // Safety: views of live slices; out is written within its shape.
        check(unsafe { sys::plr_mask_gather(self.as_ptr(), first, weights.as_ptr(), out.as_mut_ptr()) })
    }

    /// weights += average - sent at those places. `SHAPE`, `INVALID_ARGUMENT`.
    pub fn scatter_add(&self, first: u64, weights: &mut [f32], average: &[f32], sent: &[f32]) -> Result<()> {
        let len = weights.len();
        let mut weights = MatrixMut::new(weights, 1, len)?;
        let average = Matrix::new(average, 1, average.len())?;
        let sent = Matrix::new(sent, 1, sent.len())?;
        // Safety: views of live slices; weights are written within their shape.
        check(unsafe {
            let (a, s) = (average.as_ptr(), sent.as_ptr());
            sys::plr_mask_scatter_add(self.as_ptr(), first, weights.as_mut_ptr(), a, s)
        })
    }
}

/// Puts a frame of rows x cols token ids, each below `vocab`, into `out`, in place of what was there.
/// `info` gives stream, step, micro_batch and seed. `SHAPE`, `INVALID_ARGUMENT`.
pub fn encode_tokens(
    context: &Context,
    info: &FrameInfo,
    tokens: &[i32],
    rows: u32,
    vocab: u32,
    out: &mut Vec<u8>,
) -> Result<()> {
    if rows == 0 || tokens.len() % rows as usize != 0 {
        let text = format!("{} tokens are not {rows} rows", tokens.len());
        return Err(Error::new(Status::SHAPE, "token frame", text));
    }
    let cols = u32_len("token frame", tokens.len() / rows as usize)?;
    // Safety: a live context; there are rows x cols tokens, and `*len` is the room at `to`.
    write_frame(out, |to, len| unsafe {
        let (ctx, tokens) = (context.as_ptr(), tokens.as_ptr());
        sys::plr_tokens_encode(ctx, info.as_ptr(), tokens, rows, cols, vocab, to.cast(), len)
    })
}

/// Decodes a token frame into `tokens`, from its beginning: rows x cols ids, each below `vocab` of the
/// result. `BUFFER_TOO_SMALL` when there are more than `tokens` has room for; errors of
/// [`parse_frame`], and `CHECKSUM`.
pub fn decode_tokens(context: &Context, frame: &[u8], tokens: &mut [i32]) -> Result<FrameInfo> {
    // Safety: a live context; the frame is read, at most the given number of ids written.
    with_info(|info, err| unsafe {
        let (data, len) = (frame.as_ptr().cast(), frame.len());
        let (out, capacity) = (tokens.as_mut_ptr(), tokens.len());
        sys::plr_tokens_decode(context.as_ptr(), data, len, out, capacity, info, err)
    })
}

/// Puts a frame of opaque bytes into `out`, in place of what was there. `info` gives stream, step,
/// micro_batch and seed.
pub fn encode_control(info: &FrameInfo, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let payload_len = u32_len("control frame", payload.len())?;
    // Safety: the payload is read, and `*len` is the room at `to`.
    write_frame(out, |to, len| unsafe {
        sys::plr_control_encode(info.as_ptr(), payload.as_ptr().cast(), payload_len, to.cast(), len)
    })
}

/// The payload of a control frame, which is a part of the frame. Errors of [`parse_frame`], and
/// `CHECKSUM`.
pub fn decode_control<'f>(context: &Context, frame: &'f [u8]) -> Result<(&'f [u8], FrameInfo)> {
    let mut payload = null();
    let mut payload_len = 0;
    // Safety: a live context; the frame is read.
    let info = with_info(|info, err| unsafe {
        let (data, len) = (frame.as_ptr().cast(), frame.len());
        let ctx = context.as_ptr();
        sys::plr_control_decode(ctx, data, len, &mut payload, &mut payload_len, info, err)
    })?;
    if payload_len == 0 {
        return Ok((&[], info));
    }
    // Safety: bytes inside the frame.
    let payload = unsafe { std::slice::from_raw_parts(payload, payload_len as usize) };
    Ok((payload, info))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::size_of;
    use std::ptr::addr_of;

    /// The same fields, all of them, at the same places.
    macro_rules! same_layout {
        ($ours:ident $theirs:ident: $($field:ident)*) => {
            // Safety: numbers.
            let (a, b): ($ours, sys::$theirs) = unsafe { std::mem::zeroed() };
            let ($ours { $($field: _,)* }, sys::$theirs { $($field: _,)* }) = (a, b);
            assert_eq!(size_of::<$ours>(), size_of::<sys::$theirs>());
            $(assert_eq!(
                addr_of!(a.$field) as usize - addr_of!(a) as usize,
                addr_of!(b.$field) as usize - addr_of!(b) as usize,
                stringify!($field)
            );)*
        };
    }

    #[test]
    fn what_is_passed_as_it_is_has_the_layout_of_c() {
        same_layout!(FrameInfo plr_frame_info: struct_size role stream step micro_batch generation seed rows
            cols vocab chunks payload_len codec flags);
        same_layout!(Codec plr_codec: predict transform quant entropy dtype bits group);
        same_layout!(Mask plr_mask: total key masks round);
        assert_eq!(size_of::<crate::Hash>(), size_of::<sys::plr_hash>());
        // Safety: a pointer to a value of the same layout.
        assert_eq!(unsafe { (*FrameInfo::new(Role::STATE).as_ptr()).role }, Role::STATE.0);
    }
}
