//! What the tests share.
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use pluralis::*;

pub const ORIGIN: &str = "example.org/test";

pub fn context() -> Context {
    Context::new(ContextOptions::new()).unwrap()
}

/// A little model of four blocks. Its boundary is `dense`, or `subspace` of rank 4.
pub fn manifest(boundary: &str) -> String {
    let boundary = match boundary {
        "dense" => r#"{"kind": "dense"}"#,
        _ => r#"{"kind": "subspace", "rank": 4, "seed": 7, "anchor_std": 1.0}"#,
    };
    let text = r#"{"format": "pluralis-model/1", "name": "little", "family": "llama", "vocab": "bytes",
        "blocks": 4, "d_model": 16, "heads": 2, "kv_heads": 1, "head_dim": 8, "d_ff": 32, "norm_eps": 1e-5,
        "rope_theta": 10000, "init_std": 0.05, "embed_std": 1.0, "seed": 1, "cuts": [1, 2, 3],
        "boundary": BOUNDARY,
        "train": {"seq_len": 8, "micro_batch": 2, "micro_batches": 4, "optimizer": "adamw", "lr": 3e-3,
                  "min_lr_ratio": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1,
                  "clip": 1.0, "schedule": "cosine", "warmup_steps": 3, "steps": 40, "data_seed": 3}}"#;
    text.replace("BOUNDARY", boundary)
}

pub fn model(context: &Context) -> Model {
    Model::from_json(context, &manifest("subspace")).unwrap()
}

/// A text with some structure.
pub fn text(len: usize) -> Vec<u8> {
    const WORDS: [&str; 8] = ["the ", "sea ", "and ", "a ", "ship ", "went ", "to ", "rest. "];
    let mut text = Vec::new();
    let mut random = 12345u32;
    while text.len() < len {
        random = random.wrapping_mul(1664525).wrapping_add(1013904223);
        text.extend_from_slice(WORDS[(random >> 29) as usize].as_bytes());
    }
    text.truncate(len);
    text
}

pub fn corpus(context: &Context) -> Corpus {
    Corpus::new(context, text(20000)).unwrap()
}

/// The failure, which must have that status.
#[track_caller]
pub fn refused<T>(status: Status, result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("{status:?} was expected"),
        Err(error) => {
            assert_eq!(error.status, status, "{error}");
            assert!(!error.message.is_empty());
            error
        }
    }
}

/// A folder that goes away with it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pluralis-rust-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Names in it, sorted.
    pub fn names(&self) -> Vec<String> {
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> =
            std::fs::read_dir(&self.0).unwrap().map(|entry| name(entry).into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Micro-batches of training step after step in one shard that holds the whole model: the loss of each
/// step in nats a token, and the weight root at the end.
pub fn train_whole(context: &Context, model: &Model, corpus: &Corpus, steps: u64) -> (Vec<f64>, Hash) {
    let info = model.info();
    let mut shard = Shard::new(context, model, &ShardOptions::new()).unwrap();
    let mut losses = Vec::new();
    for step in 0..steps {
        let mut sum = 0.0;
        for batch in 0..u64::from(info.micro_batches) {
            let index = step * u64::from(info.micro_batches) + batch;
            let tokens =
                corpus.batch(Split::Train, info.data_seed, index, info.micro_batch, info.seq_len).unwrap();
            sum += shard.forward(0, &tokens, None, None).unwrap();
            shard.backward(0, None, None).unwrap();
        }
        shard.step().unwrap();
        losses.push(sum / (f64::from(info.micro_batches) * info.rows() as f64));
    }
    assert_eq!(shard.steps(), steps);
    (losses, weight_root(&shard.leaves().unwrap()).unwrap())
}
