use pluralis::model::{Boundary, Schedule};
use pluralis::*;

use crate::support::*;

#[test]
fn numbers_of_a_manifest() {
    let context = context();
    let model = model(&context);
    let info = model.info();
    assert_eq!((info.blocks, info.d_model, info.heads, info.kv_heads), (4, 16, 2, 1));
    assert_eq!((info.head_dim, info.d_ff, info.vocab), (8, 32, 256));
    assert_eq!((info.boundary, info.boundary_width, info.first_full_rank), (Boundary::SUBSPACE, 4, 3));
    assert_eq!((info.seq_len, info.micro_batch, info.micro_batches), (8, 2, 4));
    assert_eq!((info.schedule, info.warmup_steps, info.steps), (Schedule::COSINE, 3, 40));
    assert_eq!((info.lr, info.clip, info.rope_theta), (3e-3, 1.0, 10000.0));
    assert_eq!((info.seed, info.boundary_seed, info.data_seed), (1, 7, 3));
    assert_eq!((info.batch_tokens(), info.rows()), (18, 16));
    assert!(info.parameters > 10_000);
    assert_eq!(model.name(), "little");
    assert_eq!(model.cuts(), [1, 2, 3]);
    let dense = Model::from_json(&context, &manifest("dense")).unwrap();
    assert_eq!((dense.info().boundary, dense.info().boundary_width), (Boundary::DENSE, 16));
    assert_ne!(dense.hash(), model.hash());
}

#[test]
fn the_hash_is_of_what_it_says() {
    let context = context();
    let text = manifest("subspace");
    let same = text.replace("3e-3", "0.003").replace(": ", " :");
    assert_eq!(Model::from_json(&context, &same).unwrap().hash(), model(&context).hash());
    let other = text.replace("3e-3", "0.004");
    assert_ne!(Model::from_json(&context, &other).unwrap().hash(), model(&context).hash());
}

#[test]
fn what_is_wrong_with_a_manifest_is_named() {
    let context = context();
    for (from, to, status, where_) in [
        ("\"rank\": 4", "\"rank\": 99", Status::MALFORMED, "manifest.boundary.rank"),
        ("\"d_ff\": 32", "\"d_ff\": \"32\"", Status::MALFORMED, "manifest.d_ff"),
        ("\"blocks\"", "\"blokcs\"", Status::MALFORMED, "manifest"),
        ("[1, 2, 3]", "[1, 1, 3]", Status::MALFORMED, "manifest.cuts[1]"),
        ("llama", "gpt9", Status::UNSUPPORTED, "manifest.family"),
    ] {
        let text = manifest("subspace").replace(from, to);
        let error = Model::from_json(&context, &text).err().expect(to);
        assert!(error.where_.starts_with(where_), "{to}: {error}");
        assert_eq!(error.status, status, "{to}: {error}");
    }
    for text in ["", "{", "[]", "\0", "{\"format\": 1}"] {
        refused(Status::MALFORMED, Model::from_json(&context, text));
    }
}

/// What is left of a manifest for a builder.
const REST: &str = r#"{"format": "pluralis-model/2", "name": "built", "vocab": 11, "d_model": 16, "seed": 1,
    "cuts": [1], "boundary": {"kind": "projector", "rank": 2, "seed": 1, "anchor_std": 0.1, "tied": false},
    "train": {"seq_len": 8, "micro_batch": 2, "micro_batches": 4, "optimizer": "adamw", "lr": 3e-3,
              "min_lr_ratio": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1, "clip": 1.0,
              "schedule": "constant", "warmup_steps": 0, "steps": 40, "data_seed": 3, "z_loss": 0}}"#;

#[test]
fn a_builder_gives_what_the_manifest_does() {
    let context = context();
    let lists = r#""embed": [{"op": "embedding", "out": "x", "name": "embed", "std": 1.0}],
        "blocks": [{"repeat": 2, "ops": [
            {"op": "layernorm", "in": "x", "out": "n", "name": "norm", "eps": 1e-5, "bias": true},
            {"op": "linear", "in": "n", "out": "h", "name": "w", "cols": 16, "std": 0.1, "bias": false},
            {"op": "rope", "in": "h", "out": "h", "head_dim": 8, "theta": 100,
             "scaling": {"type": "linear", "factor": 2}},
            {"op": "attention", "q": "h", "k": "h", "v": "h", "out": "a", "heads": 2, "kv_heads": 2,
             "head_dim": 8},
            {"op": "moe", "in": "a", "out": "m", "name": "moe", "experts": 3, "top_k": 2, "cols": 8,
             "act": "gelu", "std": 0.1, "down_std": 0.2, "balance": 0.01, "renormalise": true},
            {"op": "add", "a": "x", "b": "m", "out": "x"}]}],
        "head": [{"op": "linear", "in": "x", "out": "logits", "name": "head", "cols": 11, "std": 0.1,
                  "bias": false}], "cuts""#;
    let whole = Model::from_json(&context, &REST.replacen("\"cuts\"", lists, 1)).unwrap();
    let mut builder = Builder::new(&context, REST).unwrap();
    let linear = |input, out, name, cols| Op {
        name: Some(name),
        cols,
        std: 0.1,
        ..Op::new(Layer::LINEAR, input, out)
    };
    builder.begin(Part::Embed).unwrap();
    builder.op(&Op { name: Some("embed"), std: 1.0, ..Op::new(Layer::EMBEDDING, &[], "x") }).unwrap();
    builder.begin(Part::Block(2)).unwrap();
    let norm = Op { name: Some("norm"), eps: 1e-5, ..Op::new(Layer::LAYERNORM, &["x"], "n") };
    builder.op(&Op { bias: true, ..norm }).unwrap();
    refused(Status::MALFORMED, builder.op(&linear(&["y"], "h", "w", 16)));
    refused(Status::INVALID_ARGUMENT, builder.op(&linear(&["n", "n", "n", "n"], "h", "w", 16)));
    builder.op(&linear(&["n"], "h", "w", 16)).unwrap();
    let rope = Op { head_dim: 8, theta: 100.0, ..Op::new(Layer::ROPE, &["h"], "h") };
    builder.op(&Op { scaling: Scaling::LINEAR, factor: 2.0, ..rope }).unwrap();
    let attention = Op::new(Layer::ATTENTION, &["h", "h", "h"], "a");
    builder.op(&Op { heads: 2, kv_heads: 2, head_dim: 8, ..attention }).unwrap();
    let moe = Op { name: Some("moe"), experts: 3, top_k: 2, cols: 8, ..Op::new(Layer::MOE, &["a"], "m") };
    let moe = Op { act: Some(Layer::GELU), std: 0.1, down_std: 0.2, ..moe };
    builder.op(&Op { balance: 0.01, renormalise: true, ..moe }).unwrap();
    builder.op(&Op::new(Layer::ADD, &["x", "m"], "x")).unwrap();
    builder.begin(Part::Head).unwrap();
    builder.op(&linear(&["x"], "logits", "head", 11)).unwrap();
    let built = builder.build().unwrap();
    assert_eq!(built.hash(), whole.hash());
    assert_eq!((built.info().format, built.info().boundary), (2, Boundary::PROJECTOR));
    assert_eq!(built.block_cost(1), whole.block_cost(1));
    refused(Status::MALFORMED, Builder::new(&context, "{"));
    refused(Status::INVALID_ARGUMENT, Builder::new(&context, REST).unwrap().build());
}

#[test]
fn cuts_and_costs() {
    let context = context();
    let model = Model::from_json(&context, &manifest("subspace").replace("[1, 2, 3]", "[2]")).unwrap();
    let can: Vec<bool> = (0..6).map(|p| model.can_cut(p)).collect();
    assert_eq!(can, [true, false, true, false, true, false]);
    assert!((0..4).all(|block| model.block_cost(block) > 0));
    assert_eq!(model.block_cost(4), 0);
}

#[test]
fn a_corpus_is_a_function_of_its_text() {
    let context = context();
    let (corpus, same) = (corpus(&context), corpus(&context));
    assert_eq!(corpus.root(), same.root());
    let batch = corpus.batch(Split::Train, 3, 7, 2, 8).unwrap();
    assert_eq!(batch, same.batch(Split::Train, 3, 7, 2, 8).unwrap());
    assert_eq!(batch.len(), 18);
    assert!(batch.iter().all(|&id| (0..256).contains(&id)));
    assert_ne!(batch, corpus.batch(Split::Train, 3, 8, 2, 8).unwrap());
    assert_ne!(batch, corpus.batch(Split::Validation, 3, 7, 2, 8).unwrap());
    let fixed = Corpus::new(&context, &b"a text that lives for ever"[..]).unwrap();
    assert_eq!(fixed.root(), Corpus::new(&context, b"a text that lives for ever".to_vec()).unwrap().root());
}

#[test]
fn corpora_that_do_not_do() {
    let context = context();
    refused(Status::INVALID_ARGUMENT, Corpus::new(&context, Vec::new()));
    let corpus = Corpus::new(&context, text(100)).unwrap();
    let error = refused(Status::INVALID_ARGUMENT, corpus.batch(Split::Validation, 0, 0, 1, 64));
    assert!(error.message.contains("validation"), "{error}");
    refused(Status::INVALID_ARGUMENT, corpus.batch(Split::Train, 0, 0, 1, 0));
    let mut short = [0; 17];
    refused(Status::SHAPE, corpus.batch_into(Split::Train, 0, 0, 2, 8, &mut short));
    refused(Status::NO_MEMORY, corpus.batch(Split::Train, 0, 0, u32::MAX, u32::MAX));
}
