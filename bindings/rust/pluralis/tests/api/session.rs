use std::io::Cursor;

use pluralis::*;

use crate::support::*;

const IDS: [i32; 8] = [73, 110, 32, 116, 104, 101, 32, 98];

fn serving(context: &Context, model: &Model, format: WeightFormat) -> Shard {
    let options = ShardOptions::new().inference_only().weight_format(format);
    Shard::new(context, model, &options).unwrap()
}

fn rows(session: Session, range: std::ops::Range<usize>, logits: u32) -> Rows<'static> {
    let position = range.start as u32;
    Rows { session, tokens: &IDS[range], position, logits }
}

#[test]
fn feed_is_infer() {
    let context = context();
    let model = model(&context);
    for format in [WeightFormat::F32, WeightFormat::Bf16, WeightFormat::Q8, WeightFormat::Q4] {
        let mut shard = serving(&context, &model, format);
        let mut want = vec![0.0; 8 * 256];
        shard.infer(&IDS, 1, None, &mut want).unwrap();
        let (a, b) = (shard.open_session(0).unwrap(), shard.open_session(0).unwrap());
        let mut got = vec![0.0; 8 * 256];
        shard.feed(&[rows(a, 0..5, 5), rows(b, 0..3, 0)], None, Some(&mut got[..5 * 256])).unwrap();
        shard.feed(&[rows(a, 5..8, 3)], None, Some(&mut got[5 * 256..])).unwrap();
        assert_eq!(got, want);
        shard.feed(&[rows(b, 3..8, 1)], None, Some(&mut got[..256])).unwrap();
        assert_eq!(got[..256], want[7 * 256..]);
        assert_eq!(shard.session_length(b).unwrap(), 8);
    }
}

#[test]
fn positions_and_states() {
    let context = context();
    let model = model(&context);
    let mut shard = serving(&context, &model, WeightFormat::F32);
    let (a, b) = (shard.open_session(6).unwrap(), shard.open_session(0).unwrap());
    shard.feed(&[rows(a, 0..4, 0)], None, None).unwrap();
    refused(Status::INVALID_STATE, shard.feed(&[rows(a, 5..6, 0)], None, None));
    refused(Status::LIMIT, shard.feed(&[rows(a, 4..8, 0)], None, None));
    refused(Status::INVALID_ARGUMENT, shard.truncate_session(a, 5));
    shard.truncate_session(a, 3).unwrap();
    let mut state = Vec::new();
    shard.save_session(a, Sink::writer(&mut state)).unwrap();
    shard.load_session(b, &mut Source::reader(Cursor::new(&state)).unwrap()).unwrap();
    assert_eq!(shard.session_length(b).unwrap(), 3);
    let mut logits = vec![0.0; 2 * 256];
    shard.feed(&[rows(a, 3..5, 1), rows(b, 3..5, 1)], None, Some(&mut logits)).unwrap();
    assert_eq!(logits[..256], logits[256..]);
    shard.close_session(a).unwrap();
    refused(Status::NOT_FOUND, shard.session_length(a));
    refused(Status::NOT_FOUND, shard.close_session(a));
    refused(Status::LIMIT, shard.open_session(1 << 25));
}

#[test]
fn draws() {
    let context = context();
    let logits: Vec<f32> = (0..64).map(|i| (i * 37 % 64) as f32 * 0.1).collect();
    let how = Sampling { temperature: 0.7, top_k: 9, seed: 5 };
    for position in 0..50 {
        let token = sample_top_p(&context, &logits, how, 1.0, position).unwrap();
        assert_eq!(token, sample(&logits, how, position).unwrap());
        let first = sample_top_p(&context, &logits, how, 1e-6, position).unwrap();
        assert_eq!(logits[first as usize], 6.3);
    }
    refused(Status::INVALID_ARGUMENT, sample_top_p(&context, &logits, how, 0.0, 0));
}
