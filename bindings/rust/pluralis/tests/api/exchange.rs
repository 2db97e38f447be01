use pluralis::exchange::{decode_control, decode_tokens, encode_control, encode_tokens, parse_frame};
use pluralis::*;

use crate::support::*;

fn waves(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 0.37).sin()).collect()
}

fn frame_of(context: &Context, codec: &str, x: &Matrix<'_>) -> Vec<u8> {
    let (rows, cols) = x.shape();
    let codec = codec.parse().unwrap();
    let mut encoder = Encoder::new(context, codec, rows as u32, cols as u32).unwrap();
    let mut frame = Vec::new();
    encoder.encode(&FrameInfo::new(Role::ACTIVATION), x, &mut frame).unwrap();
    assert!(frame.len() <= encoder.bound());
    frame
}

#[test]
fn elements() {
    assert_eq!(
        [Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::I32, Dtype::U8].map(Dtype::size),
        [4, 2, 2, 4, 1]
    );
    assert_eq!(Dtype(99).size(), 0);
}

#[test]
fn matrices_stay_within_their_slices() {
    let mut data = waves(20);
    assert_eq!(Matrix::new(&data, 4, 5).unwrap().shape(), (4, 5));
    assert_eq!(Matrix::with_stride(&data, 3, 4, 8).unwrap().shape(), (3, 4));
    assert_eq!(MatrixMut::new(&mut data, 2, 10).unwrap().shape(), (2, 10));
    assert_eq!(MatrixMut::with_stride(&mut data, 1, 20, 0).unwrap().shape(), (1, 20));
    assert_eq!(Matrix::new(&[], 0, 7).unwrap().shape(), (0, 7));
    for (rows, cols) in [(3, 7), (0, 0), (usize::MAX, 2), (1 << 62, 4), (21, 1)] {
        refused(Status::SHAPE, Matrix::new(&data, rows, cols));
        refused(Status::SHAPE, MatrixMut::new(&mut data, rows, cols));
    }
    let max = usize::MAX;
    for (rows, cols, stride) in [(3, 5, 8), (3, 8, 7), (2, 1, max), (max, 1, 1), (1, 21, 0), (2, max, max)] {
        refused(Status::SHAPE, Matrix::with_stride(&data, rows, cols, stride));
        refused(Status::SHAPE, MatrixMut::with_stride(&mut data, rows, cols, stride));
    }
    refused(Status::SHAPE, Matrix::new(&[], usize::MAX, 0));
}

#[test]
fn feedback_is_committed_or_taken_back() {
    let context = context();
    let data = waves(64 * 64);
    let x = Matrix::new(&data, 64, 64).unwrap();
    let mut encoder = Encoder::new(&context, "topk".parse().unwrap(), 64, 64).unwrap();
    let mut decoder = Decoder::new(&context, 64, 64).unwrap();
    let mut feedback = Feedback::new(&context, 64, 64, 1.0).unwrap();
    refused(Status::INVALID_ARGUMENT, Feedback::new(&context, 64, 64, 2.0));
    let info = FrameInfo::new(Role::DELTA);
    let (mut frame, mut again) = (Vec::new(), Vec::new());
    let before = feedback.hash();
    feedback.encode(&mut encoder, &mut decoder, &info, &x, &mut frame).unwrap();
    let pending = feedback.encode(&mut encoder, &mut decoder, &info, &x, &mut again);
    refused(Status::INVALID_STATE, pending);
    feedback.rollback().unwrap();
    assert_eq!(feedback.hash(), before);
    feedback.encode(&mut encoder, &mut decoder, &info, &x, &mut again).unwrap();
    assert_eq!(frame, again);
    feedback.commit().unwrap();
    refused(Status::INVALID_STATE, feedback.commit());
    assert_ne!(feedback.hash(), before);
    let mut back = vec![9.0; data.len()];
    decoder.decode(&frame, &mut MatrixMut::new(&mut back, 64, 64).unwrap()).unwrap();
    assert_eq!(back.iter().filter(|y| **y != 0.0).count(), 64);
    for ((x, y), e) in data.iter().zip(&back).zip(feedback.error().iter()) {
        assert!((x - y - e).abs() < 1e-6);
    }
}

#[test]
fn masks_take_every_value_once() {
    let mut weights = waves(1000);
    let mut seen = vec![false; 1000];
    for round in 0..7 {
        let mask = Mask { total: 1000, key: 5, masks: 7, round };
        let count = mask.count().unwrap() as usize;
        let (mut indices, mut values) = (vec![0; count], vec![0.0; count]);
        mask.indices(0, &mut indices).unwrap();
        mask.gather(0, &weights, &mut values).unwrap();
        for (i, v) in indices.iter().zip(&values) {
            assert!(!std::mem::replace(&mut seen[*i as usize], true));
            assert_eq!(weights[*i as usize], *v);
        }
        mask.scatter_add(0, &mut weights, &vec![1.0; count], &values).unwrap();
        refused(Status::SHAPE, mask.gather(0, &weights[1..], &mut values));
        refused(Status::INVALID_ARGUMENT, mask.indices(1, &mut indices));
    }
    assert!(seen.iter().all(|s| *s) && weights.iter().all(|w| (*w - 1.0).abs() < 1e-6));
    refused(Status::INVALID_ARGUMENT, Mask { total: 0, key: 0, masks: 1, round: 0 }.count());
}

#[test]
fn every_codec_there_and_back() {
    let context = context();
    let data = waves(100 * 64);
    let x = Matrix::new(&data, 100, 64).unwrap();
    for (name, tolerance, most) in
        [("raw", 0.0, 26000), ("bf16", 4e-3, 13000), ("int8", 8e-3, 7200), ("int4", 0.15, 4000)]
    {
        for name in [name.to_string(), format!("{name}+zstd")] {
            let frame = frame_of(&context, &name, &x);
            assert!(frame.len() < most, "{name}: {} bytes", frame.len());
            let mut back = vec![9.0; data.len()];
            let mut decoder = Decoder::new(&context, 100, 64).unwrap();
            let mut y = MatrixMut::new(&mut back, 100, 64).unwrap();
            let info = decoder.decode(&frame, &mut y).unwrap();
            assert_eq!((info.rows, info.cols, info.role), (100, 64, Role::ACTIVATION));
            assert_eq!(info.codec, name.parse().unwrap());
            assert_eq!(info, parse_frame(&context, &frame).unwrap());
            assert!(data.iter().zip(&back).all(|(a, b)| (a - b).abs() <= tolerance), "{name}");
        }
    }
    refused(Status::NOT_FOUND, "int9".parse::<Codec>());
    refused(Status::INVALID_ARGUMENT, "ra\0w".parse::<Codec>());
}

#[test]
fn strides_do_not_show_in_a_frame() {
    let context = context();
    let wide = waves(10 * 40);
    let dense: Vec<f32> = wide.chunks(40).flat_map(|row| row[..32].to_vec()).collect();
    let strided = frame_of(&context, "int8", &Matrix::with_stride(&wide[..392], 10, 32, 40).unwrap());
    let frame = frame_of(&context, "int8", &Matrix::new(&dense, 10, 32).unwrap());
    assert_eq!(strided, frame);
    let (mut a, mut b) = (vec![7.0; 10 * 40], vec![7.0; 10 * 32]);
    let mut decoder = Decoder::new(&context, 10, 32).unwrap();
    decoder.decode(&frame, &mut MatrixMut::with_stride(&mut a, 10, 32, 40).unwrap()).unwrap();
    decoder.decode(&frame, &mut MatrixMut::new(&mut b, 10, 32).unwrap()).unwrap();
    for (a, b) in a.chunks(40).zip(b.chunks(32)) {
        assert_eq!(&a[..32], b);
        assert_eq!(&a[32..], [7.0; 8], "between the rows");
    }
}

#[test]
fn an_info_goes_with_its_frame() {
    let context = context();
    let mut info = FrameInfo::new(Role::GRADIENT);
    info.stream = 5;
    info.step = 6;
    info.micro_batch = 7;
    info.seed = 1 << 40;
    let mut encoder = Encoder::new(&context, "raw".parse().unwrap(), 2, 3).unwrap();
    let mut frame = Vec::new();
    encoder.encode(&info, &Matrix::new(&[1.0; 6], 2, 3).unwrap(), &mut frame).unwrap();
    let read = parse_frame(&context, &frame).unwrap();
    assert_eq!((read.role, read.stream, read.step), (Role::GRADIENT, 5, 6));
    assert_eq!((read.micro_batch, read.seed, read.rows, read.cols), (7, 1 << 40, 2, 3));
}

#[test]
fn frames_in_pieces() {
    let context = context();
    let data = waves(3000 * 64);
    let x = Matrix::new(&data, 3000, 64).unwrap();
    let codec = "uniform4".parse().unwrap();
    let mut encoder = Encoder::new(&context, codec, 3000, 64).unwrap();
    let mut decoder = Decoder::new(&context, 3000, 64).unwrap();
    let whole = frame_of(&context, "uniform4", &x);
    let (mut back, mut again) = (vec![0.0; data.len()], vec![0.0; data.len()]);
    let mut y = MatrixMut::new(&mut back, 3000, 64).unwrap();
    let mut pieces = encoder.pieces(&FrameInfo::new(Role::ACTIVATION), &x).unwrap();
    let mut incoming = decoder.incoming(&mut y).unwrap();
    let (mut piece, mut left, mut count, mut bytes) = (Vec::new(), 3000, 0, 0);
    while left > 0 {
        left = pieces.next_piece(&mut piece).unwrap();
        assert_eq!(incoming.feed(&piece).unwrap(), (piece.len(), 3000 - left));
        count += 1;
        bytes += piece.len();
    }
    refused(Status::INVALID_STATE, pieces.next_piece(&mut piece));
    refused(Status::INVALID_STATE, incoming.feed(&piece));
    assert!(count > 2 && bytes == whole.len());
    decoder.decode(&whole, &mut MatrixMut::new(&mut again, 3000, 64).unwrap()).unwrap();
    assert_eq!(back, again);
    let mut y = MatrixMut::new(&mut back, 3000, 64).unwrap();
    let mut incoming = decoder.incoming(&mut y).unwrap();
    let spoilt: Vec<u8> = whole.iter().map(|byte| byte ^ 1).collect();
    refused(Status::MALFORMED, incoming.feed(&spoilt));
    let mut tall = vec![0.0; 3001 * 64];
    let mut tall = MatrixMut::new(&mut tall, 3001, 64).unwrap();
    refused(Status::SHAPE, decoder.incoming(&mut tall).map(|_| ()));
}

#[test]
fn predictions_and_what_is_lost() {
    let context = context();
    let data = waves(32 * 64);
    let louder: Vec<f32> = data.iter().map(|value| value * 1.5).collect();
    let (x, other) = (Matrix::new(&data, 32, 64).unwrap(), Matrix::new(&louder, 32, 64).unwrap());
    let mut back = vec![0.0; data.len()];
    let mut encoder = Encoder::new(&context, "uniform4+sample".parse().unwrap(), 32, 64).unwrap();
    let mut decoder = Decoder::new(&context, 32, 64).unwrap();
    let mut info = FrameInfo::new(Role::ACTIVATION);
    let mut frame = Vec::new();
    refused(Status::INVALID_STATE, encoder.set_keys(&[1, 2]));
    encoder.set_store(8, 16).unwrap();
    decoder.set_store(8, 16).unwrap();
    refused(Status::INVALID_ARGUMENT, encoder.set_keys(&[]));
    let mut decode = |frame: &[u8]| {
        let mut y = MatrixMut::new(&mut back, 32, 64).unwrap();
        decoder.decode(frame, &mut y)
    };
    let mut lengths = Vec::new();
    for _ in 0..3 {
        encoder.set_keys(&[1, 2]).unwrap();
        encoder.encode(&info, &x, &mut frame).unwrap();
        decode(&frame).unwrap();
        lengths.push(frame.len());
    }
    encoder.set_keys(&[1, 2]).unwrap();
    encoder.encode(&info, &other, &mut frame).unwrap(); // and lost
    encoder.set_keys(&[1, 2]).unwrap();
    encoder.encode(&info, &other, &mut frame).unwrap();
    refused(Status::SEQUENCE, decode(&frame));
    info.flags = FrameInfo::KEY;
    encoder.set_keys(&[1, 2]).unwrap();
    encoder.encode(&info, &other, &mut frame).unwrap();
    assert_eq!(decode(&frame).unwrap().flags, FrameInfo::KEY);
    encoder.reset(9).unwrap();
    refused(Status::INVALID_ARGUMENT, encoder.reset(9));
    info.flags = 0;
    encoder.set_keys(&[1, 2]).unwrap();
    encoder.encode(&info, &x, &mut frame).unwrap();
    let got = decode(&frame).unwrap();
    assert_eq!((got.generation, got.flags), (9, FrameInfo::PLAIN));
    let mut plain = Encoder::new(&context, "int4".parse().unwrap(), 32, 64).unwrap();
    refused(Status::UNSUPPORTED, plain.set_store(1, 1));
    refused(Status::UNSUPPORTED, plain.reset(1));
}

#[test]
fn bases() {
    let context = context();
    let (data, mut unit) = (waves(20 * 8), vec![0.0; 8 * 2]);
    unit[0] = 1.0;
    unit[3] = 1.0; // the first two coordinates
    let basis = Matrix::new(&unit, 8, 2).unwrap();
    let mut encoder = Encoder::new(&context, "int8+basis".parse().unwrap(), 20, 8).unwrap();
    let mut decoder = Decoder::new(&context, 20, 8).unwrap();
    let (mut frame, mut back) = (Vec::new(), vec![0.0; data.len()]);
    let (info, x) = (FrameInfo::new(Role::ACTIVATION), Matrix::new(&data, 20, 8).unwrap());
    refused(Status::INVALID_STATE, encoder.encode(&info, &x, &mut frame));
    encoder.set_basis(&basis, 4).unwrap();
    encoder.encode(&info, &x, &mut frame).unwrap();
    let mut y = MatrixMut::new(&mut back, 20, 8).unwrap();
    refused(Status::MISMATCH, decoder.decode(&frame, &mut y));
    decoder.set_basis(&basis, 4).unwrap();
    assert_eq!(decoder.decode(&frame, &mut y).unwrap().generation, 4);
    for (row, want) in back.chunks(8).zip(data.chunks(8)) {
        assert!((row[0] - want[0]).abs() < 0.01 && (row[1] - want[1]).abs() < 0.01);
        assert_eq!(&row[2..], [0.0; 6]);
    }
    let wide = Matrix::new(&unit, 2, 8).unwrap();
    refused(Status::SHAPE, encoder.set_basis(&wide, 5));
}

#[test]
fn rate_follows_what_is_set() {
    let context = context();
    let data = waves(64 * 32);
    let x = Matrix::new(&data, 64, 32).unwrap();
    let mut encoder = Encoder::new(&context, "trellis4".parse().unwrap(), 64, 32).unwrap();
    let (mut frame, info) = (Vec::new(), FrameInfo::new(Role::ACTIVATION));
    encoder.set_budget(700).unwrap();
    encoder.encode(&info, &x, &mut frame).unwrap();
    assert!(frame.len() <= 700 && frame.len() > 650, "{}", frame.len());
    encoder.set_budget(0).unwrap();
    encoder.set_snr(25.0, 20.0).unwrap();
    encoder.encode(&info, &x, &mut frame).unwrap();
    let stats = encoder.stats();
    let db = 10.0 * (stats.signal_power / stats.noise_power).log10();
    assert!((22.0..28.0).contains(&db), "{db}");
    assert_eq!((stats.frames, stats.values), (2, 2 * 64 * 32));
    encoder.set_budget(200).unwrap();
    refused(Status::LIMIT, encoder.encode(&info, &x, &mut frame));
    refused(Status::INVALID_ARGUMENT, encoder.set_snr(-1.0, 0.0));
    let mut fixed = Encoder::new(&context, "int8".parse().unwrap(), 4, 4).unwrap();
    refused(Status::UNSUPPORTED, fixed.set_budget(9));
}

#[test]
fn encoding_again_allocates_nothing() {
    let context = context();
    let data = waves(50 * 32);
    let x = Matrix::new(&data, 50, 32).unwrap();
    let mut encoder = Encoder::new(&context, "int4+zstd".parse().unwrap(), 50, 32).unwrap();
    let (mut frame, info) = (Vec::new(), FrameInfo::new(Role::ACTIVATION));
    encoder.encode(&info, &x, &mut frame).unwrap();
    let (at, first, before) = (frame.as_ptr(), frame.clone(), context.memory().allocations);
    encoder.encode(&info, &x, &mut frame).unwrap();
    assert_eq!((frame.as_ptr(), &frame), (at, &first));
    assert_eq!(context.memory().allocations, before);
}

#[test]
fn what_codecs_refuse() {
    let context = context();
    let raw: Codec = "raw".parse().unwrap();
    let int4: Codec = "int4".parse().unwrap();
    refused(Status::INVALID_ARGUMENT, Encoder::new(&context, raw, 0, 4));
    refused(Status::LIMIT, Encoder::new(&context, raw, u32::MAX, 4));
    refused(Status::UNSUPPORTED, Encoder::new(&context, Codec { predict: 9, ..raw }, 4, 4));
    refused(Status::UNSUPPORTED, Encoder::new(&context, Codec { group: 33, ..int4 }, 4, 4));
    refused(Status::INVALID_ARGUMENT, Decoder::new(&context, 0, 1));
    refused(Status::LIMIT, Decoder::new(&context, u32::MAX, u32::MAX));

    let mut encoder = Encoder::new(&context, int4, 4, 4).unwrap();
    let mut frame = vec![1, 2, 3];
    let data = waves(20);
    let x = Matrix::new(&data, 5, 4).unwrap();
    refused(Status::SHAPE, encoder.encode(&FrameInfo::new(Role::STATE), &x, &mut frame));
    assert!(frame.is_empty());
    let x = Matrix::new(&data[..16], 4, 4).unwrap();
    refused(Status::INVALID_ARGUMENT, encoder.encode(&FrameInfo::new(Role::TOKENS), &x, &mut frame));
    let nan = [f32::NAN; 16];
    let bad = Matrix::new(&nan, 4, 4).unwrap();
    refused(Status::NON_FINITE, encoder.encode(&FrameInfo::new(Role::DELTA), &bad, &mut frame));
    encoder.encode(&FrameInfo::new(Role::DELTA), &x, &mut frame).unwrap();

    let mut decoder = Decoder::new(&context, 4, 4).unwrap();
    let mut back = [0.0; 16];
    let mut y = MatrixMut::new(&mut back[..12], 3, 4).unwrap();
    refused(Status::SHAPE, decoder.decode(&frame, &mut y));
    let mut y = MatrixMut::new(&mut back, 4, 4).unwrap();
    for len in 0..frame.len() {
        assert_eq!(decoder.decode(&frame[..len], &mut y).unwrap_err().status.class(), StatusClass::BadData);
    }
    for at in 0..frame.len() {
        let mut flipped = frame.clone();
        flipped[at] ^= 0x10;
        assert!(decoder.decode(&flipped, &mut y).is_err(), "byte {at}");
    }
    decoder.decode(&frame, &mut y).unwrap();
    refused(Status::LIMIT, Decoder::new(&context, 3, 4).unwrap().decode(&frame, &mut y));
}

#[test]
fn tokens() {
    let context = context();
    let ids: Vec<i32> = (0..300).map(|i| i * 7919 % 1000).collect();
    let mut frame = Vec::new();
    let mut info = FrameInfo::new(Role::TOKENS);
    info.step = 3;
    encode_tokens(&context, &info, &ids, 10, 1000, &mut frame).unwrap();
    assert!(frame.len() < 600, "{} bytes", frame.len());
    let mut back = vec![-1; 301];
    let read = decode_tokens(&context, &frame, &mut back).unwrap();
    assert_eq!((read.rows, read.cols, read.vocab, read.step), (10, 30, 1000, 3));
    assert_eq!((&back[..300], back[300]), (&ids[..], -1));
    let at = frame.as_ptr();
    encode_tokens(&context, &info, &ids, 10, 1000, &mut frame).unwrap();
    assert_eq!(frame.as_ptr(), at);

    let top = *ids.iter().max().unwrap() as u32;
    refused(Status::BUFFER_TOO_SMALL, decode_tokens(&context, &frame, &mut back[..299]));
    refused(Status::TRUNCATED, decode_tokens(&context, &frame[..50], &mut back));
    refused(Status::MALFORMED, decode_control(&context, &frame));
    refused(Status::SHAPE, encode_tokens(&context, &info, &ids, 7, 1000, &mut frame));
    refused(Status::SHAPE, encode_tokens(&context, &info, &ids, 0, 1000, &mut frame));
    refused(Status::INVALID_ARGUMENT, encode_tokens(&context, &info, &ids, 10, top, &mut frame));
    refused(Status::INVALID_ARGUMENT, encode_tokens(&context, &info, &[], 10, 999, &mut frame));
}

#[test]
fn control() {
    let context = context();
    for payload in [&b""[..], b"x", &[7; 5000]] {
        let mut frame = Vec::new();
        encode_control(&FrameInfo::new(Role::CONTROL), payload, &mut frame).unwrap();
        let (read, info) = decode_control(&context, &frame).unwrap();
        assert_eq!((read, info.role, info.cols as usize), (payload, Role::CONTROL, payload.len()));
        refused(Status::MALFORMED, decode_tokens(&context, &frame, &mut [0; 9]));
        let last = frame.len() - 1;
        frame[last] ^= 1;
        if !payload.is_empty() {
            refused(Status::CHECKSUM, decode_control(&context, &frame));
        }
    }
    refused(Status::TRUNCATED, parse_frame(&context, &[]));
}

/// SHA-256 of what a frame holds, little-endian.
fn decode_any(context: &Context, frame: &[u8]) -> Result<Hash> {
    let info = parse_frame(context, frame)?;
    let (rows, cols) = (info.rows as usize, info.cols as usize);
    match info.role {
        Role::TOKENS => {
            let mut ids = vec![0; rows * cols];
            decode_tokens(context, frame, &mut ids)?;
            Ok(Hash::of(&ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>()))
        }
        Role::CONTROL => Ok(Hash::of(decode_control(context, frame)?.0)),
        _ => {
            let mut data = vec![0.0f32; rows * cols];
            let mut y = MatrixMut::new(&mut data, rows, cols)?;
            Decoder::new(context, info.rows, info.cols)?.decode(frame, &mut y)?;
            Ok(Hash::of(&data.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()))
        }
    }
}

fn golden(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/golden/frames").join(name)
}

/// Lines of the index: name, hash of the frame, hash of its values, version of zstd.
#[test]
fn golden_frames() {
    let context = context();
    let index = std::fs::read_to_string(golden("index.txt")).unwrap();
    assert!(index.lines().count() >= 12);
    for line in index.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let frame = std::fs::read(golden(&format!("{}.plr", words[0]))).unwrap();
        assert_eq!(Hash::of(&frame).to_string(), words[1], "{line}");
        let codec = parse_frame(&context, &frame).unwrap().codec;
        if codec.predict == 0 && codec.transform != 2 {
            // What the others build on is in the C test.
            assert_eq!(decode_any(&context, &frame).unwrap().to_string(), words[2], "{line}");
        }
    }
}

#[test]
fn frames_that_must_fail() {
    let context = context();
    let mut count = 0;
    for entry in std::fs::read_dir(golden("must_fail")).unwrap() {
        let path = entry.unwrap().path();
        let error = decode_any(&context, &std::fs::read(&path).unwrap()).expect_err(&format!("{path:?}"));
        assert!(!error.message.is_empty() && !error.where_.is_empty(), "{path:?}: {error}");
        count += 1;
    }
    assert!(count > 50, "{count}");
}
