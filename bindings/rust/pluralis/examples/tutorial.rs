//! A model split in two, trained and asked for text; a tensor compressed; a ledger written and read.
use pluralis::{ledger::*, *};

/// Every key is required: the designer decides, nothing is assumed.
const MANIFEST: &str = r#"{"format": "pluralis-model/1", "name": "tiny", "family": "llama", "vocab": "bytes",
    "blocks": 4, "d_model": 64, "heads": 4, "kv_heads": 2, "head_dim": 16, "d_ff": 128, "norm_eps": 1e-5,
    "rope_theta": 10000, "init_std": 0.02, "embed_std": 1.0, "seed": 1, "cuts": [2], "boundary": {"kind":
    "subspace", "rank": 8, "seed": 7, "anchor_std": 1.0}, "train": {"seq_len": 32, "micro_batch": 4,
    "micro_batches": 1, "optimizer": "adamw", "lr": 0.01, "min_lr_ratio": 0.1, "beta1": 0.9, "beta2": 0.95,
    "eps": 1e-8, "weight_decay": 0.1, "clip": 1.0, "schedule": "cosine", "warmup_steps": 2, "steps": 40,
    "data_seed": 3}}"#;

fn main() -> Result<()> {
    let context = Context::new(ContextOptions::new())?;
    let model = Model::from_json(&context, MANIFEST)?;
    let corpus = Corpus::new(&context, b"In the beginning was the Word. ".repeat(200))?;
    let mut first = Shard::new(&context, &model, &ShardOptions::new().blocks(0..2))?;
    let mut last = Shard::new(&context, &model, &ShardOptions::new().blocks(2..4))?;
    let mut wire = vec![0.0; 4 * 32 * 8]; // rank 8: what crosses is 8 numbers a token, not 64
    let mut loss = 0.0;
    for step in 0..40 {
        let tokens = corpus.batch(Split::Train, 3, step, 4, 32)?;
        first.forward(0, &tokens, None, Some(&mut wire))?;
        loss = last.forward(0, &tokens, Some(&wire), None)? / (4.0 * 32.0);
        last.backward(0, None, Some(&mut wire))?;
        first.backward(0, Some(&wire), None)?;
        first.step()?;
        last.step()?;
    }
    let mut text: Vec<i32> = b"In the".iter().map(|&byte| byte.into()).collect();
    let how = Sampling { temperature: 0.0, top_k: 0, seed: 1 };
    while text.len() < 32 {
        let (mut x, mut logits) = (vec![0.0; text.len() * 8], vec![0.0; text.len() * 256]);
        first.infer(&text, 1, None, &mut x)?;
        last.infer(&text, 1, Some(&x), &mut logits)?;
        text.push(sample(&logits[logits.len() - 256..], how, text.len() as u64)?);
    }
    println!("{loss:.3} nats a byte; {:?}", text.iter().map(|&id| id as u8 as char).collect::<String>());

    let (mut frame, mut back) = (Vec::new(), vec![0.0; 128 * 8]);
    let mut encoder = Encoder::new(&context, "int4".parse()?, 128, 8)?;
    encoder.encode(&FrameInfo::new(Role::GRADIENT), &Matrix::new(&wire, 128, 8)?, &mut frame)?;
    let info = Decoder::new(&context, 128, 8)?.decode(&frame, &mut MatrixMut::new(&mut back, 128, 8)?)?;
    println!("{} bytes for {} x {} numbers", frame.len(), info.rows, info.cols);

    let me = Identity::new(&context, &[42; 32])?; // from a key file, in earnest
    let in_memory = LedgerOptions::new().origin("example.org/job").sequencer(&me); // no path
    let mut ledger = Ledger::open(&context, &in_memory)?;
    let costs: Vec<u64> = (0..4).map(|block| model.block_cost(block)).collect();
    let terms = entry::ModelTerms::new(model.hash(), costs, 128).designer_bps(500).mint(1 << 30, 1, 1000);
    let author = entry::EntryOptions::new(&me, ledger.origin(), ledger.next_nonce(&me.account()));
    ledger.append(&entry::model_register(&context, &author, &terms)?)?;
    ledger.close_epoch()?;
    let mut export = Vec::new();
    ledger.export(Sink::writer(&mut export))?;
    let who = log::VerifyOptions::new(ledger.origin(), ledger.public_key());
    let read = log::verify(&context, &mut Source::reader(std::io::Cursor::new(export))?, who)?;
    println!("{} entries, epoch {}, verified", read.entries, read.epoch);
    Ok(())
}
