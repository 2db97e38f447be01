//! What the safe interface adds to a call of C: both are timed in turns, on the smallest work there is. Prints
//! one JSON object a line, as tests/bench/run describes.
use std::ptr::{null, null_mut};
use std::time::Instant;

use pluralis::*;

const ROUNDS: u32 = 400;
const COLS: usize = 32;

/// Where memory lies matters more than what is measured here: every round has its own, at another place.
fn shift(round: u32) {
    let size = round.wrapping_mul(2654435761) >> 20;
    Box::leak(vec![0u8; size as usize + 1].into_boxed_slice());
}

/// Nanoseconds a call.
fn time(calls: u32, mut function: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        function();
    }
    start.elapsed().as_nanos() as f64 / f64::from(calls)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Times both in turns, each as often the first of a turn, and prints a line. `safe` and `raw` make what is
/// timed.
fn compare<A: FnMut(), B: FnMut()>(what: &str, calls: u32, safe: impl Fn() -> A, raw: impl Fn() -> B) {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for turn in 0..2 {
            shift(2 * round + turn);
            match (round + turn) % 2 {
                0 => with.push(time(calls, safe())),
                _ => without.push(time(calls, raw())),
            }
        }
    }
    let (with, without) = (median(&mut with), median(&mut without));
    println!(
        "{{\"name\": \"rust_call/{what}\", \"value\": {:.2}, \"unit\": \"ns a call\", \
         \"peer\": \"the C function\", \"peer_value\": {without:.2}, \"ratio\": {:.4}, \
         \"note\": \"value: what the safe interface adds; {with:.2} ns in all\"}}",
        with - without,
        without / with
    );
}

fn main() {
    let context = Context::new(ContextOptions::new()).unwrap();
    let codec: Codec = "raw".parse().unwrap();
    let info = FrameInfo::new(Role::ACTIVATION);
    let numbers = || -> &'static mut [f32] { Box::leak(vec![0.5; COLS].into_boxed_slice()) };
    let encode = || {
        let mut encoder = Encoder::new(&context, codec, 1, COLS as u32).unwrap();
        let x = Box::new(Matrix::new(numbers(), 1, COLS).unwrap());
        let (info, mut frame) = (Box::new(info), Vec::with_capacity(encoder.bound()));
        move || encoder.encode(&info, &x, &mut frame).unwrap()
    };
    compare("encode-1x32", 500, encode, || {
        let mut raw = Raw::new();
        move || raw.encode()
    });

    let mut frame = Vec::new();
    let x = Matrix::new(numbers(), 1, COLS).unwrap();
    Encoder::new(&context, codec, 1, COLS as u32).unwrap().encode(&info, &x, &mut frame).unwrap();
    let decode = || {
        let mut decoder = Decoder::new(&context, 1, COLS as u32).unwrap();
        let mut y = Box::new(MatrixMut::new(numbers(), 1, COLS).unwrap());
        let frame = frame.clone();
        move || assert_eq!(decoder.decode(&frame, &mut y).unwrap().rows, 1)
    };
    compare("decode-1x32", 500, decode, || {
        let (mut raw, frame) = (Raw::new(), frame.clone());
        move || raw.decode(&frame)
    });

    let identity = Identity::new(&context, &[1; 32]).unwrap();
    let deadline = || {
        let options = LinkOptions::new(Hash::default(), [0; 32]);
        let mut link = Link::new(&context, &identity, &options).unwrap();
        move || assert_eq!(link.io().next_deadline_ns(), 0)
    };
    compare("deadline", 20000, deadline, || {
        let raw = Raw::new();
        move || raw.deadline()
    });
}

/// What a C host has.
struct Raw {
    ctx: *mut sys::plr_context,
    encoder: *mut sys::plr_encoder,
    decoder: *mut sys::plr_decoder,
    identity: *mut sys::plr_identity,
    link: *mut sys::plr_link,
    x: Box<sys::plr_tensor>,
    info: Box<sys::plr_frame_info>,
    frame: Vec<u8>,
    _numbers: Box<[f32]>,
}

impl Raw {
    fn new() -> Raw {
        // Safety: calls as <pluralis/exchange.h> and <pluralis/link.h> want them.
        unsafe {
            let (mut ctx, mut codec) = (null_mut(), std::mem::zeroed());
            assert_eq!(sys::plr_context_create(null(), &mut ctx, null_mut()), 0);
            assert_eq!(sys::plr_codec_from_name(b"raw\0".as_ptr().cast(), &mut codec), 0);
            let (cols, mut encoder, mut decoder) = (COLS as u32, null_mut(), null_mut());
            assert_eq!(sys::plr_encoder_create(ctx, &codec, 1, cols, &mut encoder, null_mut()), 0);
            assert_eq!(sys::plr_decoder_create(ctx, 1, cols, &mut decoder, null_mut()), 0);
            let (mut identity, mut link, mut options) = (null_mut(), null_mut(), std::mem::zeroed());
            assert_eq!(sys::plr_identity_create(ctx, [1; 32].as_ptr(), &mut identity, null_mut()), 0);
            sys::plr_link_options_init(&mut options, std::mem::size_of_val(&options) as u32);
            assert_eq!(sys::plr_link_create(ctx, identity, &options, &mut link, null_mut()), 0);
            let mut numbers = vec![0.5f32; COLS].into_boxed_slice();
            let mut x: Box<sys::plr_tensor> = Box::new(std::mem::zeroed());
            let data = numbers.as_mut_ptr().cast();
            sys::plr_tensor_matrix(&mut *x, data, sys::PLR_DTYPE_F32, 1, COLS as i64);
            let mut info: Box<sys::plr_frame_info> = Box::new(std::mem::zeroed());
            info.struct_size = std::mem::size_of_val(&*info) as u32;
            info.role = sys::PLR_ROLE_ACTIVATION;
            let frame = Vec::with_capacity(sys::plr_encoder_bound(encoder));
            Raw { ctx, encoder, decoder, identity, link, x, info, frame, _numbers: numbers }
        }
    }

    fn encode(&mut self) {
        let mut len = 0;
        // Safety: live objects.
        let status = unsafe {
            let (out, cap) = (self.frame.as_mut_ptr().cast(), self.frame.capacity());
            sys::plr_encoder_encode(self.encoder, &*self.info, &*self.x, out, cap, &mut len)
        };
        assert_eq!(status, sys::PLR_OK);
    }

    fn decode(&mut self, frame: &[u8]) {
        // Safety: live objects; the error is only read by C, which takes a size of 0 for its own.
        unsafe {
            let mut info: sys::plr_frame_info = std::mem::zeroed();
            let mut err = std::mem::MaybeUninit::<sys::plr_error>::uninit();
            let (data, len, err) = (frame.as_ptr().cast(), frame.len(), err.as_mut_ptr());
            info.struct_size = std::mem::size_of_val(&info) as u32;
            std::ptr::addr_of_mut!((*err).struct_size).write(0);
            let status = sys::plr_decoder_decode(self.decoder, data, len, &mut *self.x, &mut info, err);
            assert_eq!((status, info.rows), (sys::PLR_OK, 1));
        }
    }

    fn deadline(&self) {
        // Safety: a live link.
        assert_eq!(unsafe { sys::plr_link_next_deadline_ns(self.link) }, 0);
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Safety: live objects.
        unsafe {
            sys::plr_encoder_destroy(self.encoder);
            sys::plr_decoder_destroy(self.decoder);
            sys::plr_link_destroy(self.link);
            sys::plr_identity_destroy(self.identity);
            sys::plr_context_destroy(self.ctx);
        }
    }
}
