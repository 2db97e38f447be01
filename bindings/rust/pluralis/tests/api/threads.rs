//! Who may be where. What must not compile is in `src/lib.rs`.
use std::thread;

use pluralis::*;

use crate::pipeline::key;
use crate::support::*;

#[test]
fn send_and_sync_are_those_of_the_contract() {
    fn send<T: Send>() {}
    fn shared<T: Send + Sync>() {}
    shared::<Context>();
    shared::<Model>();
    shared::<Corpus>();
    shared::<Identity>();
    shared::<Error>();
    shared::<LedgerOptions>();
    send::<ContextOptions>();
    send::<Shard>();
    send::<Encoder>();
    send::<Decoder>();
    send::<Link>();
    send::<Stage>();
    send::<StageOptions>();
    send::<Job>();
    send::<Ran>();
    send::<Ledger>();
}

#[test]
fn what_may_be_shared_is() {
    let context = Context::new(ContextOptions::new().threads(2)).unwrap();
    let (model, corpus, me) = (model(&context), corpus(&context), key(&context, 3));
    let once = || {
        let batch = corpus.batch(Split::Train, 3, 1, 2, 8).unwrap();
        let mut frame = Vec::new();
        let info = FrameInfo::new(Role::TOKENS);
        exchange::encode_tokens(&context, &info, &batch, 2, 256, &mut frame).unwrap();
        let root = train_whole(&context, &model, &corpus, 1).1;
        (me.sign(&frame), model.hash(), root)
    };
    let alone = once();
    thread::scope(|s| {
        let threads: Vec<_> = (0..4).map(|_| s.spawn(once)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), alone);
        }
    });
}

#[test]
fn handles_move_from_thread_to_thread() {
    let context = context();
    let (model, corpus) = (model(&context), corpus(&context));
    let mut shard = Shard::new(&context, &model, &ShardOptions::new()).unwrap();
    for index in 0..3 {
        let tokens = corpus.batch(Split::Train, 3, index, 2, 8).unwrap();
        shard = thread::spawn(move || {
            shard.forward(0, &tokens, None, None).unwrap();
            shard.backward(0, None, None).unwrap();
            shard.step().unwrap();
            shard
        })
        .join()
        .unwrap();
    }
    assert_eq!(shard.steps(), 3);
    drop((context, model, corpus));
    thread::spawn(move || drop(shard)).join().unwrap();
}
