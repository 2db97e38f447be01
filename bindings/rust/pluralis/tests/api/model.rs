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
