use std::io::Cursor;

use pluralis::link::NEVER;
use pluralis::*;

use crate::pipeline::{key, shard, Pipeline};
use crate::support::*;

const HOW: Sampling = Sampling { temperature: 0.5, top_k: 0, seed: 77 };

fn prompt() -> Vec<i32> {
    b"the s".iter().map(|&byte| byte.into()).collect()
}

#[test]
fn a_pipeline_computes_what_one_shard_does() {
    let context = context();
    let (losses, root) = train_whole(&context, &model(&context), &corpus(&context), 3);
    for count in [1, 2, 4] {
        let mut pipeline = Pipeline::new(&context, count, "raw");
        pipeline.command(|feeder| feeder.train(3));
        pipeline.stop();
        let log = &pipeline.log;
        assert_eq!(log.ready, count as usize + 1);
        assert_eq!(log.losses, losses);
        assert_eq!(log.stopped[count as usize], (3, root));
        assert_eq!(log.roots.iter().map(|root| root.0).collect::<Vec<_>>(), [0, 2, 3]);
        let receipts = 3 * 4 * count as usize;
        assert_eq!((log.receipts.len(), log.worker_receipts), (receipts, receipts));
        assert_eq!(log.worker_steps, 3 * count as usize);
        let stats = pipeline.stages[0].stats();
        assert_eq!((stats.steps, stats.forwards, stats.backwards, stats.receipts), (3, 12, 12, 12));
        assert!(stats.sent_bytes > 0 && stats.receipts_refused == 0);
        assert_eq!(pipeline.stages[0].next_deadline_ns(), NEVER);
    }
}

#[test]
fn without_a_flush_backwards_come_late() {
    let context = context();
    let mut pipeline = Pipeline::asynchronous(&context, 2);
    pipeline.command(|feeder| feeder.train(4));
    assert_eq!(pipeline.log.losses.len(), 4);
    assert_eq!(pipeline.log.peers.len(), 6);
    assert!(pipeline.log.peers.iter().all(|peer| peer.3 == Status::OK && (1..=2).contains(&peer.1)));
    let stats = pipeline.stages[0].stats();
    assert!(stats.max_delay <= 1 && stats.peers_lost == 0 && stats.duplicates == 0);
    assert!(pipeline.stages[0].link_at(Side::Downstream, 0).is_some());
    assert!(pipeline.stages[0].link_at(Side::Downstream, 1).is_none());
    assert!(pipeline.stages[0].detach(Side::Downstream, 1).is_none());
    let link = pipeline.stages[0].detach(Side::Downstream, 0);
    assert!(link.is_some() && pipeline.stages[0].link(Side::Downstream).is_none());
    assert_eq!(pipeline.stages[0].stats().peers_lost, 1);
}

#[test]
fn jobs_on_threads_give_the_same() {
    let context = Context::new(ContextOptions::new().threads(2)).unwrap();
    let run = |threads| {
        let mut pipeline = Pipeline::new(&context, 4, "int8+zstd");
        pipeline.threads = threads;
        pipeline.command(|feeder| feeder.train(3));
        pipeline.command(|feeder| feeder.evaluate(2));
        pipeline.command(|feeder| feeder.generate(&prompt(), 6, HOW));
        pipeline.stop();
        let mut log = pipeline.log;
        log.receipts.sort();
        assert_eq!((log.evals.len(), log.tokens.len(), log.generated), (1, 6, 1));
        (log.losses, log.evals, log.tokens, log.receipts, log.stopped[4], log.snapshots)
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn training_goes_on_from_snapshots() {
    let context = context();
    let (losses, root) = train_whole(&context, &model(&context), &corpus(&context), 4);
    let mut first = Pipeline::new(&context, 2, "raw");
    first.command(|feeder| feeder.train(2));
    first.stop();
    let shards = (0..2).map(|i| {
        let mut shard = shard(&context, &first.model, i, 2);
        shard.load(&mut Source::reader(Cursor::new(&first.log.snapshots[i as usize])).unwrap()).unwrap();
        shard
    });
    let mut second = Pipeline::of_shards(&context, &first.model, shards.collect(), "raw", 2);
    second.command(|feeder| feeder.train(4));
    second.stop();
    assert_eq!([first.log.losses, second.log.losses].concat(), losses);
    assert_eq!(second.log.stopped[2], (4, root));
}

#[test]
fn a_shard_comes_back_from_its_stage() {
    let context = context();
    let mut pipeline = Pipeline::new(&context, 2, "raw");
    pipeline.command(|feeder| feeder.train(1));
    pipeline.stop();
    let mut stages = pipeline.stages.drain(..);
    let mut shards = [stages.next(), stages.next()].map(|stage| stage.unwrap().into_shard().ok().unwrap());
    let leaves: Vec<Hash> = shards.iter_mut().flat_map(|shard| shard.leaves().unwrap()).collect();
    assert_eq!(weight_root(&leaves).unwrap(), pipeline.log.stopped[2].1);
    let feeder = stages.next().unwrap().into_shard().err().expect("a feeder has none");
    assert_eq!(feeder.stats().steps, 1);
}

/// A pipeline in which stage 0 has a job to give.
fn with_a_job(context: &Context) -> Pipeline {
    let mut pipeline = Pipeline::new(context, 2, "raw");
    pipeline.stages[2].train(1).unwrap();
    for _ in 0..100 {
        pipeline.now += 1_000_000;
        for (from, side, to, other) in [
            (2, Side::Downstream, 0, Side::Upstream),
            (0, Side::Upstream, 2, Side::Downstream),
            (0, Side::Downstream, 1, Side::Upstream),
            (1, Side::Upstream, 0, Side::Downstream),
            (1, Side::Downstream, 2, Side::Upstream),
            (2, Side::Upstream, 1, Side::Downstream),
        ] {
            let mut buffer = [0; 4096];
            let len = pipeline.stages[from].link(side).unwrap().transmit(pipeline.now, &mut buffer).unwrap();
            pipeline.stages[to].link(other).unwrap().receive(pipeline.now, &buffer[..len]).unwrap();
        }
        for stage in &mut pipeline.stages {
            stage.advance(pipeline.now).unwrap();
            while stage.next_event().is_some() {}
        }
    }
    pipeline
}

#[test]
fn a_job_that_is_dropped_is_handed_out_again() {
    let context = context();
    let mut pipeline = with_a_job(&context);
    let now = pipeline.now;
    let stage = &mut pipeline.stages[0];
    let job = stage.next_job().unwrap().unwrap();
    let info = job.info();
    assert_eq!((info.kind, info.step, info.micro_batch), (JobKind::SNAPSHOT, 0, 0));
    assert!(stage.next_job().unwrap().is_none(), "one job is out at a time");
    drop(job);
    let job = stage.next_job().unwrap().unwrap();
    assert_eq!(job.info(), info);
    // Also when it has run; then it is not run again.
    let ran = job.run();
    ran.result().unwrap();
    drop(ran);
    let ran = stage.next_job().unwrap().unwrap().run();
    ran.result().unwrap();
    stage.complete(ran, now).unwrap();
    assert!(stage.next_job().unwrap().is_none(), "the feeder has not heard of it yet");
}

#[test]
fn a_job_goes_back_to_its_own_stage() {
    let context = context();
    let mut pipeline = with_a_job(&context);
    let ran = pipeline.stages[0].next_job().unwrap().unwrap().run();
    let now = pipeline.now;
    refused(Status::INVALID_ARGUMENT, pipeline.stages[1].complete(ran, now));
    let again = pipeline.stages[0].next_job().unwrap().unwrap().run();
    pipeline.stages[0].complete(again, now).unwrap();
}

#[test]
fn a_job_outlives_its_stage() {
    let context = context();
    let mut pipeline = with_a_job(&context);
    let job = pipeline.stages[0].next_job().unwrap().unwrap();
    let stage = pipeline.stages.remove(0).into_shard().err().expect("a job is out");
    drop((stage, pipeline));
    let thread = std::thread::spawn(move || {
        let mut ran = job.run();
        let mut snapshot = Vec::new();
        ran.save(Sink::writer(&mut snapshot)).unwrap();
        (ran.result(), snapshot.len())
    });
    let (result, len) = thread.join().unwrap();
    assert!(result.is_ok() && len > 1000);
    assert!(context.memory().bytes < 100_000, "all is given back with the job");
}

#[test]
fn a_failure_is_told_to_all() {
    let context = context();
    let mut pipeline = with_a_job(&context);
    pipeline.stages[0].link(Side::Downstream).unwrap().close(Status::IO);
    pipeline.settle();
    let failed: Vec<usize> = pipeline.log.failed.iter().map(|failure| failure.0).collect();
    assert_eq!(failed.len(), 3, "{:?}", pipeline.log.failed);
    assert!(pipeline.log.failed.iter().any(|failure| failure.1 == Status::IO));
    let now = pipeline.now;
    let stage = &mut pipeline.stages[0];
    assert_eq!(stage.advance(now).unwrap_err().status, Status::IO);
    assert!(stage.next_job().is_err());
}

#[test]
fn commands_are_a_feeders() {
    let context = context();
    let mut pipeline = Pipeline::new(&context, 2, "raw");
    let worker = &mut pipeline.stages[0];
    refused(Status::INVALID_STATE, worker.train(1));
    refused(Status::INVALID_STATE, worker.evaluate(1));
    refused(Status::INVALID_STATE, worker.generate(&[1], 1, HOW));
    refused(Status::INVALID_STATE, worker.stop());
    refused(Status::INVALID_STATE, worker.set_epoch(1));
    refused(Status::INVALID_ARGUMENT, worker.submit(&[]));
    let feeder = &mut pipeline.stages[2];
    refused(Status::INVALID_STATE, feeder.submit(&[1]));
    refused(Status::LIMIT, feeder.train(1 << 32));
    refused(Status::INVALID_ARGUMENT, feeder.evaluate(0));
    refused(Status::INVALID_ARGUMENT, feeder.generate(&[], 1, HOW));
    refused(Status::INVALID_ARGUMENT, feeder.generate(&[1; 9], 1, HOW));
    refused(Status::INVALID_ARGUMENT, feeder.generate(&[-1], 1, HOW));
    assert!(feeder.next_job().unwrap().is_none());
    feeder.train(1).unwrap();
    refused(Status::AGAIN, feeder.evaluate(1));
}

#[test]
fn entries_go_to_the_feeder() {
    let context = context();
    let mut pipeline = Pipeline::new(&context, 2, "raw");
    pipeline.settle();
    pipeline.stages[0].submit(b"an entry").unwrap();
    pipeline.settle();
    assert_eq!(pipeline.log.entries, [b"an entry".to_vec()]);
}

#[test]
fn the_journal_says_what_was() {
    let context = context();
    let mut pipeline = Pipeline::new(&context, 2, "raw");
    pipeline.command(|feeder| feeder.train(1));
    let stage = &mut pipeline.stages[0];
    refused(Status::BUFFER_TOO_SMALL, stage.read_journal(&mut [0; 63]));
    let mut buffer = vec![0; 100 * 64 + 7];
    let mut total = 0;
    loop {
        match stage.read_journal(&mut buffer).unwrap() {
            0 => break,
            len => {
                assert_eq!(len % 64, 0);
                assert!(buffer[..len].chunks(64).all(|record| (1..=3).contains(&record[0])));
                total += len as u64 / 64;
            }
        }
    }
    let stats = stage.stats();
    assert!(total > 20);
    assert_eq!((stats.journal_records, stats.journal_dropped), (total, 0));
}

#[test]
fn options_are_checked_and_the_shard_stays() {
    let context = context();
    let model = model(&context);
    let me = key(&context, 0);
    let few = Shard::new(&context, &model, &ShardOptions::new().blocks(0..2)).unwrap();
    let mut options = StageOptions::worker(ORIGIN, &me, 0, 2, few);
    let error = refused(Status::INVALID_ARGUMENT, Stage::new(&context, &mut options));
    assert!(error.message.contains("slots"), "{error}");
    let few = options.into_shard().expect("it stays");
    for (origin, index, count) in [(ORIGIN, 1, 2), (ORIGIN, 0, 1), (ORIGIN, 0, 0), ("", 0, 2), ("a\0", 0, 2)]
    {
        let shard = shard(&context, &model, 0, 2);
        let mut options = StageOptions::worker(origin, &me, index, count, shard);
        refused(Status::INVALID_ARGUMENT, Stage::new(&context, &mut options));
    }
    drop(few);
    let mut fixed = StageOptions::worker(ORIGIN, &me, 0, 2, shard(&context, &model, 0, 2)).auto_budget();
    refused(Status::UNSUPPORTED, Stage::new(&context, &mut fixed));
    let small = Context::new(ContextOptions::new().max_frame(1000)).unwrap();
    let mut options = StageOptions::worker(ORIGIN, &me, 0, 2, shard(&context, &model, 0, 2));
    refused(Status::LIMIT, Stage::new(&small, &mut options));
    let mut stage = Stage::new(&context, &mut options).unwrap();
    assert!(options.into_shard().is_none());

    let link = || Link::new(&context, &me, &LinkOptions::new(model.hash(), [0; 32])).unwrap();
    assert!(stage.link(Side::Upstream).is_none());
    stage.attach(Side::Upstream, link()).unwrap();
    refused(Status::INVALID_STATE, stage.attach(Side::Upstream, link()));
    assert!(stage.link(Side::Downstream).is_none());
    assert_eq!(stage.link(Side::Upstream).unwrap().peer_key(), [0; 32]);
}
