use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::panic::{catch_unwind, AssertUnwindSafe};

use pluralis::*;

use crate::support::*;

const CONFIG: &str = r#"{"model_type": "llama", "hidden_size": 16, "intermediate_size": 24,
    "num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 40,
    "max_position_embeddings": 32, "rms_norm_eps": 1e-5, "tie_word_embeddings": true}"#;

fn published(context: &Context) -> (Model, Shard) {
    let model = Model::from_config(context, CONFIG, &ConfigOptions::default()).unwrap();
    let shard = Shard::new(context, &model, &ShardOptions::new().inference_only()).unwrap();
    (model, shard)
}

/// The same shape with other seeds, under the config of what is exported.
fn other(context: &Context, model: &Model) -> Model {
    let options = ConfigOptions { seed: 9, cuts: vec![1], ..ConfigOptions::default() };
    Model::from_config(context, &model.config().unwrap(), &options).unwrap()
}

fn exported(shard: &mut Shard, dtype: Dtype) -> Vec<u8> {
    let mut bytes = Vec::new();
    shard.export(dtype, Sink::writer(&mut bytes)).unwrap();
    bytes
}

fn contents(shard: &mut Shard) -> BTreeMap<String, Vec<f32>> {
    let names = shard.parameters().into_iter().map(|p| p.name);
    names.map(|name| (name.clone(), shard.weight(&name).unwrap())).collect()
}

fn reader<'a>(bytes: &[u8]) -> Source<'a> {
    Source::reader(Cursor::new(bytes.to_vec())).unwrap()
}

#[test]
fn a_config_is_a_model() {
    let context = context();
    let (model, _) = published(&context);
    assert_eq!((model.info().blocks, model.info().vocab), (3, 40));
    assert!(model.config().unwrap().contains(r#""tie_word_embeddings": false"#));
    let options = ConfigOptions {
        cuts: vec![1, 2],
        name: Some("mine".into()),
        boundary: Some(r#"{"kind": "dense"}"#.into()),
        ..ConfigOptions::default()
    };
    let cut = Model::from_config(&context, CONFIG, &options).unwrap();
    assert_eq!((cut.cuts(), &*cut.name()), (vec![1, 2], "mine"));
    assert!(crate::support::model(&context).config().is_none());
    let strange = CONFIG.replace("hidden_size", "hidden_sizes");
    let error = refused(Status::MALFORMED, Model::from_config(&context, &strange, &options));
    assert_eq!(error.where_, "config.hidden_size");
    let options = ConfigOptions { train: Some("[]".into()), ..ConfigOptions::default() };
    refused(Status::MALFORMED, Model::from_config(&context, CONFIG, &options));
}

#[test]
fn what_is_exported_is_read_again() {
    let (context, folder) = (context(), Folder::new());
    let (model, mut shard) = published(&context);
    let (bytes, want) = (exported(&mut shard, Dtype::F32), contents(&mut shard));
    std::fs::write(folder.join("model.safetensors"), &bytes).unwrap();
    let other = other(&context, &model);
    let options = ShardOptions::new();
    let sources = [
        Weights::source(&context, reader(&bytes)).unwrap(),
        Weights::path(&context, folder.path()).unwrap(),
        Weights::path(&context, folder.join("model.safetensors")).unwrap(),
        Weights::source(&context, Source::path(&context, folder.join("model.safetensors")).unwrap()).unwrap(),
    ];
    for mut weights in sources {
        let mut loaded = Shard::with_weights(&context, &other, &options, &mut weights).unwrap();
        assert_eq!(contents(&mut loaded), want);
    }
    let half = exported(&mut shard, Dtype::BF16);
    let tensors = Weights::source(&context, reader(&half)).unwrap().tensors().unwrap();
    let k = tensors.iter().find(|t| t.name == "model.layers.2.self_attn.k_proj.weight").unwrap();
    assert_eq!((k.dtype, &k.shape[..], k.bytes, &*k.file), (Some(Dtype::BF16), &[8, 16][..], 256, ""));
    let mut bytes = Vec::new();
    refused(Status::INVALID_ARGUMENT, shard.export(Dtype::I32, Sink::writer(&mut bytes)));
    refused(Status::NOT_FOUND, Weights::path(&context, folder.join("nothing")));
    refused(Status::TRUNCATED, Weights::source(&context, reader(b"short")));
}

#[test]
fn many_files_are_opened_as_they_are_needed() {
    let context = context();
    let (model, mut shard) = published(&context);
    let (bytes, want) = (exported(&mut shard, Dtype::F32), contents(&mut shard));
    let other = other(&context, &model);
    let mut whole = Weights::source(&context, reader(&bytes)).unwrap();
    let mut files = BTreeMap::new();
    for (name, blocks) in [("a.safetensors", 0..1), ("b.safetensors", 1..3)] {
        let options = ShardOptions::new().blocks(blocks);
        let mut part = Shard::with_weights(&context, &other, &options, &mut whole).unwrap();
        files.insert(name, exported(&mut part, Dtype::F32));
    }
    let mut list: Vec<(&str, Source<'_>)> =
        files.iter().map(|(name, bytes)| (*name, reader(bytes))).collect();
    let mut index = Vec::new();
    write_index(&context, &mut list, Sink::writer(&mut index)).unwrap();
    let index = String::from_utf8(index).unwrap();

    let opened = RefCell::new(Vec::new());
    let mut weights = Weights::index(&context, &index, |name| {
        opened.borrow_mut().push(name.to_owned());
        Ok(reader(&files[name]))
    })
    .unwrap();
    let options = ShardOptions::new().blocks(1..3);
    Shard::with_weights(&context, &other, &options, &mut weights).unwrap();
    assert_eq!(*opened.borrow(), ["b.safetensors"]);
    let mut loaded = Shard::with_weights(&context, &other, &ShardOptions::new(), &mut weights).unwrap();
    assert_eq!(contents(&mut loaded), want);
    assert_eq!(weights.tensors().unwrap().len(), want.len());

    list[1].0 = "../b";
    let mut index_again = Vec::new();
    refused(Status::MALFORMED, write_index(&context, &mut list, Sink::writer(&mut index_again)));
    let escaping = index.replace("a.safetensors", "../a");
    refused(Status::MALFORMED, Weights::index(&context, &escaping, |name| Ok(reader(&files[name]))));
}

#[test]
fn what_an_opener_or_a_reader_says_comes_out() {
    struct Broken(Cursor<Vec<u8>>, u64);
    impl std::io::Seek for Broken {
        fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
            self.0.seek(to)
        }
    }
    impl std::io::Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0.position() > self.1 {
                return Err(std::io::Error::new(std::io::ErrorKind::Other, "the disk is gone"));
            }
            self.0.read(buffer)
        }
    }
    let context = context();
    let (model, mut shard) = published(&context);
    let bytes = exported(&mut shard, Dtype::F32);
    let (other, options) = (other(&context, &model), ShardOptions::new());
    let broken = Source::reader(Broken(Cursor::new(bytes), 4000)).unwrap();
    let mut weights = Weights::source(&context, broken).unwrap();
    let error = refused(Status::IO, Shard::with_weights(&context, &other, &options, &mut weights));
    assert!(error.message.contains("the disk is gone"), "{error}");

    let index = r#"{"weight_map": {"model.embed_tokens.weight": "a", "model.norm.weight": "b"}}"#;
    let mut weights = Weights::index(&context, index, |name| {
        let mut error = Error::from(Status::UNAVAILABLE);
        error.message = format!("no {name} today").into();
        Err(error)
    })
    .unwrap();
    let error = refused(Status::UNAVAILABLE, weights.tensors());
    assert_eq!(error.message, "no a today");
    let mut weights = Weights::index(&context, index, |_| panic!("oh")).unwrap();
    let caught = catch_unwind(AssertUnwindSafe(|| weights.tensors().map(|_| ())));
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"oh"));
}
