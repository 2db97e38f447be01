use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use pluralis::*;

use crate::support::*;

#[test]
fn version_is_that_of_the_declarations() {
    assert_eq!(version() >> 16, sys::PLR_VERSION_MAJOR);
    assert_eq!(version() >> 8 & 255, sys::PLR_VERSION_MINOR);
    assert_eq!(version() & 255, sys::PLR_VERSION_PATCH);
}

#[test]
fn statuses_have_names_and_classes() {
    assert_eq!(Status::LIMIT.name(), "PLR_ERR_LIMIT");
    assert_eq!(Status::NO_SPACE.message(), "no space left on the device");
    assert_eq!(format!("{:?}", Status::SHAPE), "PLR_ERR_SHAPE (-9)");
    assert_eq!(Status(-77).name(), "PLR_ERR_UNKNOWN");
    for (status, class) in [
        (Status::OK, StatusClass::Ok),
        (Status::SHAPE, StatusClass::Caller),
        (Status::IO, StatusClass::Environment),
        (Status::CLOSED, StatusClass::BadData),
        (Status::CORRUPT, StatusClass::Fatal),
    ] {
        assert_eq!(status.class(), class);
    }
}

#[test]
fn hashes() {
    // FIPS 180-2, appendix B.1.
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(Hash::of(b"abc").to_string(), abc);
    assert_ne!(Hash::of_profile(), Hash::default());
    assert_eq!(Hash::of_profile(), Hash::of_profile());
}

#[test]
fn options() {
    let context = Context::new(ContextOptions::new().threads(3).isa(Isa::PORTABLE)).unwrap();
    assert_eq!((context.threads(), context.isa()), (3, Isa::PORTABLE));
    let error = refused(Status::INVALID_ARGUMENT, Context::new(ContextOptions::new().threads(0)));
    assert_eq!(error.where_, "context.threads");
    assert!(error.to_string().starts_with("PLR_ERR_INVALID_ARGUMENT: context.threads: 0"), "{error}");
    for bad in [
        ContextOptions::new().threads(257),
        ContextOptions::new().max_frame(0),
        ContextOptions::new().max_file(0),
        ContextOptions::new().executor(0, |_| ()),
    ] {
        refused(Status::INVALID_ARGUMENT, Context::new(bad));
    }
}

#[test]
fn memory_is_counted_limited_and_given_back() {
    let context = context();
    let before = context.memory();
    let shard = Shard::new(&context, &model(&context), &ShardOptions::new()).unwrap();
    let with = context.memory();
    assert!(with.bytes > before.bytes + 100_000 && with.peak >= with.bytes);
    drop(shard);
    assert_eq!(context.memory().bytes, before.bytes);

    let small = Context::new(ContextOptions::new().max_memory(200_000)).unwrap();
    let model = model(&small);
    refused(Status::NO_MEMORY, Shard::new(&small, &model, &ShardOptions::new()));
    refused(
        Status::LIMIT,
        Model::from_json(&Context::new(ContextOptions::new().max_file(9)).unwrap(), "{\"a\": 1.000}"),
    );
}

#[test]
fn handles_are_dropped_in_any_order() {
    let context = context();
    let corpus = corpus(&context);
    let model = model(&context);
    let mut shard = Shard::new(&context, &model, &ShardOptions::new()).unwrap();
    drop((context, model));
    assert_eq!(shard.leaves().unwrap().len(), 4);
    let (model, context) = (shard.model().clone(), shard.context().clone());
    drop(shard);
    assert_eq!((model.name().as_ref(), context.threads()), ("little", 1));
    drop((model, context));
    assert_ne!(corpus.root(), Hash::default());
}

/// Something that is logged: an entry that a ledger refuses.
fn refuse_an_entry(context: &Context) {
    let me = Identity::new(context, &[1; 32]).unwrap();
    let options = LedgerOptions::new().origin(ORIGIN).sequencer(&me);
    refused(Status::TRUNCATED, Ledger::open(context, &options).unwrap().append(b"no"));
}

#[test]
fn log_lines_come_to_the_logger() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let to = lines.clone();
    let log = move |level, module: &str, line: &str| {
        to.lock().unwrap().push((level, module.to_string(), line.to_string()));
    };
    refuse_an_entry(&Context::new(ContextOptions::new().logger(Level::DEBUG, log.clone())).unwrap());
    let seen = std::mem::take(&mut *lines.lock().unwrap());
    assert!(
        seen.iter().any(|(level, module, line)| *level == Level::DEBUG
            && module == "ledger"
            && line.contains("refused")),
        "{seen:?}"
    );
    refuse_an_entry(&Context::new(ContextOptions::new().logger(Level::INFO, log)).unwrap());
    assert!(lines.lock().unwrap().is_empty(), "lines above the level");
    assert_eq!(Arc::strong_count(&lines), 1, "the logger is dropped with its context");
}

#[test]
fn a_panic_in_the_logger_stays_there() {
    let calls = Arc::new(AtomicU32::new(0));
    let count = calls.clone();
    let log = move |_, _: &str, _: &str| {
        count.fetch_add(1, Ordering::Relaxed);
        panic!("a logger that panics, on purpose");
    };
    refuse_an_entry(&Context::new(ContextOptions::new().logger(Level::DEBUG, log)).unwrap());
    assert!(calls.load(Ordering::Relaxed) > 0);
}

/// Training with a context, which must not depend on who computes.
fn root_with(options: ContextOptions) -> Hash {
    let context = Context::new(options).unwrap();
    let (model, corpus) = (model(&context), corpus(&context));
    train_whole(&context, &model, &corpus, 2).1
}

#[test]
fn who_computes_does_not_change_the_result() {
    let root = root_with(ContextOptions::new());
    let calls = Arc::new(AtomicU32::new(0));
    let count = calls.clone();
    let scoped = move |tasks: &Tasks<'_>| {
        count.fetch_add(1, Ordering::Relaxed);
        assert!(tasks.count() > 0);
        std::thread::scope(|s| {
            s.spawn(|| tasks.run_all());
            tasks.run_one();
        })
    };
    assert_eq!(root_with(ContextOptions::new().executor(2, scoped)), root);
    assert!(calls.load(Ordering::Relaxed) > 0, "the executor was never asked");
    assert_eq!(root_with(ContextOptions::new().threads(2)), root);
    assert_eq!(root_with(ContextOptions::new().isa(Isa::PORTABLE)), root);
    assert_eq!(root_with(ContextOptions::new().global_allocator()), root);
}

#[test]
fn what_an_executor_leaves_is_done_all_the_same() {
    let root = root_with(ContextOptions::new());
    assert_eq!(root_with(ContextOptions::new().executor(4, |_| ())), root, "an idle one");
    let calls = Arc::new(AtomicU32::new(0));
    let count = calls.clone();
    let panics = move |tasks: &Tasks<'_>| {
        tasks.run_one();
        if count.fetch_add(1, Ordering::Relaxed) == 0 {
            panic!("an executor that panics, on purpose");
        }
    };
    assert_eq!(root_with(ContextOptions::new().executor(4, panics)), root, "one that panics");
    assert!(calls.load(Ordering::Relaxed) > 0);
}
