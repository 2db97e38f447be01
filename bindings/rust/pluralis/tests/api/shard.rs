use std::io::Cursor;

use pluralis::*;

use crate::support::*;

fn shard_of(context: &Context, model: &Model, blocks: std::ops::Range<u32>) -> Shard {
    Shard::new(context, model, &ShardOptions::new().blocks(blocks)).unwrap()
}

/// The same training as `train_whole`, cut at these blocks.
fn train_split(steps: u64, cuts: &[u32]) -> (Vec<f64>, Hash) {
    let context = context();
    let (model, corpus) = (model(&context), corpus(&context));
    let info = model.info();
    let ends = [&[0], cuts, &[4]].concat();
    let mut shards: Vec<Shard> =
        ends.windows(2).map(|pair| shard_of(&context, &model, pair[0]..pair[1])).collect();
    let last = shards.len() - 1;
    let mut wires = vec![vec![0.0; info.rows() * info.boundary_width as usize]; last];
    let mut losses = Vec::new();
    for step in 0..steps {
        let mut sum = 0.0;
        for batch in 0..4 {
            let tokens =
                corpus.batch(Split::Train, info.data_seed, step * 4 + batch, 2, info.seq_len).unwrap();
            for (i, shard) in shards.iter_mut().enumerate() {
                let (before, after) = wires.split_at_mut(i);
                let input = before.last().map(|wire| &wire[..]);
                let output = after.first_mut().map(|wire| &mut wire[..]);
                sum += shard.forward(0, &tokens, input, output).unwrap();
            }
            for (i, shard) in shards.iter_mut().enumerate().rev() {
                let (before, after) = wires.split_at_mut(i);
                let from = after.first().map(|wire| &wire[..]);
                let to = before.last_mut().map(|wire| &mut wire[..]);
                shard.backward(0, from, to).unwrap();
            }
        }
        shards.iter_mut().for_each(|shard| shard.step().unwrap());
        losses.push(sum / (4.0 * info.rows() as f64));
    }
    let leaves: Vec<Hash> = shards.iter_mut().flat_map(|shard| shard.leaves().unwrap()).collect();
    (losses, weight_root(&leaves).unwrap())
}

#[test]
fn split_or_not_the_bits_are_the_same() {
    let context = context();
    let whole = train_whole(&context, &model(&context), &corpus(&context), 3);
    assert!(whole.0[2] < whole.0[0], "{:?}", whole.0);
    assert_eq!(train_split(3, &[2]), whole);
    assert_eq!(train_split(3, &[1, 3]), whole);
    assert_eq!(train_split(3, &[1, 2, 3]), whole);
}

#[test]
fn options() {
    let context = context();
    let model = model(&context);
    let shard = Shard::new(&context, &model, &ShardOptions::new().blocks(1..3).slots(2)).unwrap();
    assert_eq!((shard.blocks(), shard.steps()), (1..3, 0));
    assert_eq!(shard.model().hash(), model.hash());
    let new = ShardOptions::new;
    for bad in [new().blocks(2..2), new().blocks(0..0), new().blocks(3..9), new().slots(0)] {
        refused(Status::INVALID_ARGUMENT, Shard::new(&context, &model, &bad));
    }
    let error = refused(Status::NOT_FOUND, Shard::new(&context, &model, &new().device("abacus")));
    assert!(error.to_string().contains("abacus"), "{error}");
    refused(Status::INVALID_ARGUMENT, Shard::new(&context, &model, &new().device("c\0pu")));
    Shard::new(&context, &model, &new().device("cpu")).unwrap();
    let one_cut = Model::from_json(&context, &manifest("dense").replace("[1, 2, 3]", "[2]")).unwrap();
    shard_of(&context, &one_cut, 0..1);
    let one_cut = Model::from_json(&context, &manifest("subspace").replace("[1, 2, 3]", "[2]")).unwrap();
    refused(Status::INVALID_ARGUMENT, Shard::new(&context, &one_cut, &new().blocks(0..1)));
}

#[test]
fn shapes_are_checked() {
    let context = context();
    let (model, corpus) = (model(&context), corpus(&context));
    let tokens = corpus.batch(Split::Train, 3, 0, 2, 8).unwrap();
    let mut middle = shard_of(&context, &model, 1..3);
    let (good, mut out) = (vec![0.5; 16 * 4], vec![0.0; 16 * 4]);
    let long = vec![0.5; 16 * 4 + 1];
    let mut short = vec![0.5; 16 * 4 - 1];
    let error = refused(Status::SHAPE, middle.forward(0, &tokens[1..], Some(&good), Some(&mut out)));
    assert_eq!(error.message, "tokens has 17 elements, must have 18");
    refused(Status::SHAPE, middle.forward(0, &[], Some(&good), Some(&mut out)));
    let error = refused(Status::SHAPE, middle.forward(0, &tokens, Some(&long), Some(&mut out)));
    assert_eq!(error.message, "input has 65 elements, must have 64");
    refused(Status::SHAPE, middle.forward(0, &tokens, Some(&good), Some(&mut short)));
    refused(Status::SHAPE, middle.forward(0, &tokens, None, Some(&mut out)));
    refused(Status::SHAPE, middle.forward(0, &tokens, Some(&good), None));
    middle.forward(0, &tokens, Some(&good), Some(&mut out)).unwrap();
    refused(Status::SHAPE, middle.backward(0, None, Some(&mut out)));
    refused(Status::SHAPE, middle.backward(0, Some(&long), Some(&mut out)));
    refused(Status::SHAPE, middle.backward(0, Some(&good), Some(&mut short)));
    middle.backward(0, Some(&good), Some(&mut out)).unwrap();

    let mut whole = shard_of(&context, &model, 0..4);
    refused(Status::SHAPE, whole.forward(0, &tokens, Some(&good), None));
    refused(Status::SHAPE, whole.forward(0, &tokens, None, Some(&mut out)));
    refused(Status::SHAPE, whole.infer(&tokens[..8], 1, None, &mut out));
    refused(Status::SHAPE, whole.infer(&tokens[..8], 3, None, &mut [0.0; 8 * 256]));
    refused(Status::SHAPE, whole.infer(&tokens[..8], 0, None, &mut [0.0; 8 * 256]));
    refused(Status::SHAPE, whole.infer(&[], 1, None, &mut []));
    refused(Status::INVALID_ARGUMENT, whole.infer(&tokens[..9], 1, None, &mut [0.0; 9 * 256]));
    refused(Status::SHAPE, whole.loss(&mut [0.0; 256], &[1, 2]));
}

#[test]
fn states_and_values_are_checked() {
    let context = context();
    let (model, corpus) = (model(&context), corpus(&context));
    let tokens = corpus.batch(Split::Train, 3, 0, 2, 8).unwrap();
    let mut shard = shard_of(&context, &model, 0..4);
    refused(Status::INVALID_ARGUMENT, shard.forward(1, &tokens, None, None));
    let mut wrong = tokens.clone();
    wrong[3] = 256;
    refused(Status::INVALID_ARGUMENT, shard.forward(0, &wrong, None, None));
    refused(Status::INVALID_STATE, shard.backward(0, None, None));
    shard.forward(0, &tokens, None, None).unwrap();
    refused(Status::INVALID_STATE, shard.forward(0, &tokens, None, None));
    refused(Status::INVALID_STATE, shard.step());
    refused(Status::INVALID_STATE, shard.save(Sink::writer(Vec::new())));
    shard.backward(0, None, None).unwrap();
    shard.step().unwrap();

    let mut last = shard_of(&context, &model, 3..4);
    refused(Status::NON_FINITE, last.forward(0, &tokens, Some(&[f32::NAN; 64]), None));
    let mut first = shard_of(&context, &model, 0..1);
    refused(Status::INVALID_STATE, first.loss(&mut [0.0; 256], &[1]));

    let only = ShardOptions::new().inference_only();
    let mut only = Shard::new(&context, &model, &only).unwrap();
    refused(Status::INVALID_STATE, only.forward(0, &tokens, None, None));
    refused(Status::INVALID_STATE, only.leaves());
    only.infer(&tokens[..8], 1, None, &mut [0.0; 8 * 256]).unwrap();
}

#[test]
fn inference_has_the_loss_of_training() {
    let context = context();
    let (model, corpus) = (model(&context), corpus(&context));
    let mut shard = shard_of(&context, &model, 0..4);
    let tokens = corpus.batch(Split::Train, 3, 0, 2, 8).unwrap();
    let trained = shard.forward(0, &tokens, None, None).unwrap();
    let (mut ids, mut labels) = (Vec::new(), Vec::new());
    for row in tokens.chunks(9) {
        ids.extend_from_slice(&row[..8]);
        labels.extend_from_slice(&row[1..]);
    }
    let mut logits = vec![0.0; 16 * 256];
    shard.infer(&ids, 2, None, &mut logits).unwrap();
    assert_eq!(shard.loss(&mut logits, &labels).unwrap(), trained);
    refused(Status::INVALID_ARGUMENT, shard.loss(&mut logits, &[256; 16]));
}

#[test]
fn samples() {
    let mut logits = vec![0.0; 256];
    logits[65] = 5.0;
    logits[90] = 5.0;
    logits[7] = 4.0;
    let how = |temperature, top_k| Sampling { temperature, top_k, seed: 1 };
    assert_eq!(sample(&logits, how(0.0, 0), 0).unwrap(), 65);
    let drawn: Vec<i32> = (0..200).map(|i| sample(&logits, how(1.0, 3), i).unwrap()).collect();
    assert!([65, 90, 7].iter().all(|id| drawn.contains(id)), "{drawn:?}");
    assert!(drawn.iter().all(|id| [65, 90, 7].contains(id)), "{drawn:?}");
    let again: Vec<i32> = (0..200).map(|i| sample(&logits, how(1.0, 3), i).unwrap()).collect();
    assert_eq!(again, drawn);
    refused(Status::INVALID_ARGUMENT, sample(&logits, how(-1.0, 0), 0));
    refused(Status::INVALID_ARGUMENT, sample(&[], how(0.0, 0), 0));
    logits[3] = f32::NAN;
    refused(Status::NON_FINITE, sample(&logits, how(0.0, 0), 0));
}

#[test]
fn snapshots() {
    let (context, folder) = (context(), Folder::new());
    let (model, corpus) = (model(&context), corpus(&context));
    let mut shard = shard_of(&context, &model, 0..4);
    let turn = |shard: &mut Shard, index| {
        shard.forward(0, &corpus.batch(Split::Train, 3, index, 2, 8).unwrap(), None, None).unwrap();
        shard.backward(0, None, None).unwrap();
        shard.step().unwrap();
        shard.leaves().unwrap()
    };
    turn(&mut shard, 0);
    let mut bytes = Vec::new();
    shard.save(Sink::writer(&mut bytes)).unwrap();
    shard.save(Sink::path(&context, folder.join("snapshot")).unwrap()).unwrap();
    assert_eq!(std::fs::read(folder.join("snapshot")).unwrap(), bytes);
    let after = turn(&mut shard, 1);

    let mut other = shard_of(&context, &model, 0..4);
    other.load(&mut Source::path(&context, folder.join("snapshot")).unwrap()).unwrap();
    assert_eq!(other.steps(), 1);
    assert_eq!(turn(&mut other, 1), after);

    let mut load = |bytes: &[u8]| other.load(&mut Source::reader(Cursor::new(bytes)).unwrap());
    refused(Status::TRUNCATED, load(&bytes[..bytes.len() - 1]));
    refused(Status::TRUNCATED, load(&[]));
    let mut flipped = bytes.clone();
    flipped[5000] ^= 1;
    let error = load(&flipped).unwrap_err();
    assert_eq!(error.status.class(), StatusClass::BadData, "{error}");
    load(&bytes).unwrap();
    let mut half = shard_of(&context, &model, 0..2);
    let mut source = Source::reader(Cursor::new(&bytes)).unwrap();
    half.load(&mut source).unwrap(); // it holds these blocks and others
    assert_eq!(half.steps(), 1);
}

#[test]
fn snapshots_of_another_split() {
    let context = context();
    let (model, corpus) = (model(&context), corpus(&context));
    let mut whole = shard_of(&context, &model, 0..4);
    whole.forward(0, &corpus.batch(Split::Train, 3, 0, 2, 8).unwrap(), None, None).unwrap();
    whole.backward(0, None, None).unwrap();
    whole.step().unwrap();
    let mut file = Vec::new();
    whole.save(Sink::writer(&mut file)).unwrap();
    let mut parts = vec![];
    for blocks in [0..1, 1..4] {
        let mut shard = shard_of(&context, &model, blocks);
        shard.load(&mut Source::reader(Cursor::new(&file)).unwrap()).unwrap();
        let mut part = Vec::new();
        shard.save(Sink::writer(&mut part)).unwrap();
        parts.push(part);
    }
    let open = |which: &[usize]| -> Vec<Source<'_>> {
        which.iter().map(|i| Source::reader(Cursor::new(&parts[*i])).unwrap()).collect()
    };
    let root = weight_root(&whole.leaves().unwrap()).unwrap();
    let info = SnapshotInfo::read(&context, &model, &mut open(&[0, 1])).unwrap();
    assert_eq!((info.blocks, info.steps, info.root), (4, 1, Some(root)));
    assert_eq!(SnapshotInfo::read(&context, &model, &mut open(&[1])).unwrap().root, None);
    let mut again = shard_of(&context, &model, 0..4);
    let error = refused(Status::MISMATCH, again.load_parts(&mut open(&[1])));
    assert!(error.message.contains("block 0"), "{error}");
    refused(Status::MISMATCH, again.load_parts(&mut open(&[0, 1, 1])));
    refused(Status::INVALID_ARGUMENT, again.load_parts(&mut []));
    again.load_parts(&mut open(&[1, 0])).unwrap();
    assert_eq!(weight_root(&again.leaves().unwrap()).unwrap(), root);
}

#[test]
fn recompute_has_the_same_bits() {
    let context = context();
    let model = model(&context);
    let tokens = corpus(&context).batch(Split::Train, 3, 0, 2, 8).unwrap();
    let run = |options: ShardOptions| {
        let mut shard = Shard::new(&context, &model, &options).unwrap();
        shard.forward(0, &tokens, None, None).unwrap();
        shard.backward(0, None, None).unwrap();
        shard.step().unwrap();
        shard.leaves().unwrap()
    };
    assert_eq!(run(ShardOptions::new()), run(ShardOptions::new().recompute()));
}

#[test]
fn activations_in_two_bytes() {
    let context = context();
    let json = manifest("dense").replace("\"clip\":", "\"storage\": \"bf16\", \"clip\":");
    let half = Model::from_json(&context, &json).unwrap();
    let whole = Model::from_json(&context, &manifest("dense")).unwrap();
    assert_eq!((whole.info().storage, half.info().storage), (Storage::F32, Storage::BF16));
    let tokens = corpus(&context).batch(Split::Train, 3, 0, 2, 8).unwrap();
    let run = |model: &Model| {
        let mut shard = Shard::new(&context, model, &ShardOptions::new()).unwrap();
        let loss = shard.forward(0, &tokens, None, None).unwrap();
        shard.backward(0, None, None).unwrap();
        shard.step().unwrap();
        (loss, shard.leaves().unwrap())
    };
    let (a, b) = (run(&whole), run(&half));
    assert_eq!(a.0, b.0);
    assert_ne!(a.1, b.1);
    refused(Status::UNSUPPORTED, Shard::new(&context, &half, &ShardOptions::new().recompute()));
}

#[test]
fn the_norm_of_the_whole_gradient() {
    let context = context();
    let json = manifest("dense").replace("\"clip\":", "\"clip_scope\": \"global\", \"clip\":");
    let model = Model::from_json(&context, &json).unwrap();
    assert_eq!(model.info().clip_scope, ClipScope::GLOBAL);
    assert_eq!(model.info().optimizer, Optimizer::ADAMW);
    let tokens = corpus(&context).batch(Split::Train, 3, 0, 2, 8).unwrap();
    let (mut a, mut b) = (shard_of(&context, &model, 0..1), shard_of(&context, &model, 1..4));
    let mut whole = shard_of(&context, &model, 0..4);
    let (mut x, mut g) = (vec![0.0; 16 * 16], vec![0.0; 16 * 16]);
    a.forward(0, &tokens, None, Some(&mut x)).unwrap();
    b.forward(0, &tokens, Some(&x), None).unwrap();
    b.backward(0, None, Some(&mut g)).unwrap();
    a.backward(0, Some(&g), None).unwrap();
    refused(Status::INVALID_STATE, a.step());
    let sums = [a.gradient_sums().unwrap(), b.gradient_sums().unwrap()].concat();
    refused(Status::INVALID_ARGUMENT, a.step_global(&sums[1..]));
    a.step_global(&sums).unwrap();
    b.step_global(&sums).unwrap();
    whole.forward(0, &tokens, None, None).unwrap();
    whole.backward(0, None, None).unwrap();
    whole.step().unwrap();
    assert_eq!([a.leaves().unwrap(), b.leaves().unwrap()].concat(), whole.leaves().unwrap());
}

#[test]
fn roots() {
    let leaf = Hash::of(b"leaf");
    assert_eq!(weight_root(&[leaf]).unwrap(), leaf);
    assert_ne!(weight_root(&[leaf, leaf]).unwrap(), leaf);
    refused(Status::INVALID_ARGUMENT, weight_root(&[]));
}

#[test]
fn parameters_are_read_and_written() {
    let context = context();
    let model = model(&context);
    let mut shard = shard_of(&context, &model, 0..4);
    let parameters = shard.parameters();
    assert_eq!(parameters[0].name, "embed.weight");
    let name = "blocks.1.attn.q.weight";
    let p = parameters.iter().find(|p| p.name == name).unwrap();
    assert_eq!((p.block, p.rows), (1, model.info().d_model as usize));
    let mut weight = shard.weight(name).unwrap();
    assert_eq!(shard.gradient(name).unwrap_err().status, Status::INVALID_STATE);
    weight[3] += 1.0;
    shard.set_weight(name, &weight).unwrap();
    assert_eq!(shard.weight(name).unwrap(), weight);
    let tokens = corpus(&context).batch(Split::Train, 3, 0, 2, model.info().seq_len).unwrap();
    shard.forward(0, &tokens, None, None).unwrap();
    assert_eq!(shard.set_weight(name, &weight).unwrap_err().status, Status::INVALID_STATE);
    shard.backward(0, None, None).unwrap();
    assert!(shard.gradient(name).unwrap().iter().any(|g| *g != 0.0));
    assert_eq!(shard.weight("nothing").unwrap_err().status, Status::NOT_FOUND);
    assert_eq!(shard.set_weight(name, &[1.0]).unwrap_err().status, Status::SHAPE);
    weight[0] = f32::NAN;
    assert_eq!(shard.set_weight(name, &weight).unwrap_err().status, Status::NON_FINITE);
}
