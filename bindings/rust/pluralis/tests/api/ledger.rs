use std::io::Cursor;
use std::panic::{catch_unwind, AssertUnwindSafe};

use pluralis::ledger::entry::{self, EntryOptions, ModelTerms, NO_EXPIRY};
use pluralis::ledger::log::{self, VerifyOptions};
use pluralis::*;

use crate::pipeline::{key, Pipeline};
use crate::support::*;

fn options(sequencer: &Identity) -> LedgerOptions {
    LedgerOptions::new().origin(ORIGIN).sequencer(sequencer)
}

fn author(ledger: &Ledger, who: &Identity) -> EntryOptions {
    EntryOptions::new(who, ORIGIN, ledger.next_nonce(&who.account()))
}

fn terms(model: &Model) -> ModelTerms {
    let costs: Vec<u64> = (0..model.info().blocks).map(|block| model.block_cost(block)).collect();
    ModelTerms::new(model.hash(), costs, model.info().rows() as u32)
}

/// A job of two workers and a feeder whose receipts became shares, and a deposit that some of it paid.
struct Story {
    context: Context,
    pipeline: Pipeline,
    designer: Identity,
    ledger: Ledger,
    receipts: Vec<Vec<u8>>,
}

fn story(options: LedgerOptions) -> Story {
    let context = context();
    let mut pipeline = Pipeline::new(&context, 2, "bf16");
    pipeline.command(|feeder| feeder.set_epoch(0).and_then(|()| feeder.train(1)));
    pipeline.stop();
    let designer = key(&context, 50);
    let mut ledger = Ledger::open(&context, &options).unwrap();
    let (people, model) = (&pipeline.identities, pipeline.model.hash());

    let mut opens = Vec::new();
    for who in people.iter().chain([&designer]) {
        opens.push(entry::account_open(&context, &author(&ledger, who)).unwrap());
    }
    let became = ledger.append_many(&opens).unwrap();
    assert!(became.iter().zip(1..).all(|(b, i)| b.status == Status::OK && b.index == Some(i)), "{became:?}");
    let terms = terms(&pipeline.model).mint(1 << 40, 1 << 10, 1000).designer_bps(1500).vest_epochs(4);
    let terms = terms.data(500, people[2].account());
    let registered = entry::model_register(&context, &author(&ledger, &designer), &terms).unwrap();
    ledger.append(&registered).unwrap();

    let receipts = pipeline.log.receipts.clone();
    let became = ledger.append_many(&receipts).unwrap();
    assert!(became.iter().all(|b| b.status == Status::OK), "{became:?}");
    ledger.close_epoch().unwrap();
    let deposit = entry::revenue_deposit(&context, &author(&ledger, &people[2]), &model, 1_000_003).unwrap();
    ledger.append(&deposit).unwrap();
    let claim = entry::claim(&context, &author(&ledger, &people[0]), &model, 0).unwrap();
    ledger.append(&claim).unwrap();
    Story { context, pipeline, designer, ledger, receipts }
}

#[test]
fn receipts_become_shares_and_revenue_is_paid() {
    let context = context();
    let Story { pipeline, designer, ledger, receipts, .. } = story(options(&key(&context, 60)));
    let (people, model) = (&pipeline.identities, pipeline.model.hash());
    let totals = ledger.model(&model).unwrap();
    assert_eq!((totals.block_count, totals.holders, totals.receipts), (4, 4, 8));
    let cost: u64 = (0..4).map(|block| pipeline.model.block_cost(block)).sum();
    assert_eq!(totals.units, u128::from(cost) * 16 * 4, "cost of a token x tokens of a step");
    assert_eq!((totals.designer, totals.deposited, totals.held), (designer.account(), 1_000_003, 0));
    assert!(totals.supply > 0 && totals.epoch_units == 0);

    let worker = ledger.balance(&people[0].account(), &model).unwrap();
    assert!(worker.shares > 0 && worker.vested < worker.shares && worker.receipts == 4);
    assert!(worker.paid > 0 && worker.payable == 0);
    assert_eq!(totals.paid, worker.paid);
    let all = ledger.holders(&model, None, 100).unwrap();
    assert_eq!(all.iter().map(|b| b.shares).sum::<u64>(), totals.supply);
    assert!(all.windows(2).all(|pair| pair[0].account < pair[1].account));
    let mut paged = ledger.holders(&model, None, 1).unwrap();
    while let Some(last) = paged.last().map(|b| b.account) {
        let next = ledger.holders(&model, Some(&last), 2).unwrap();
        paged.extend(&next);
        if next.len() < 2 {
            break;
        }
    }
    assert_eq!(paged, all);
    let nobody = ledger.balance(&Hash::of(b"nobody"), &model).unwrap();
    assert_eq!((nobody.shares, nobody.payable), (0, 0));

    let summary = ledger.summary().unwrap();
    assert_eq!((summary.entries, summary.rejected, summary.epoch), (17, 0, 1));
    assert_eq!((summary.accounts, summary.models, summary.receipts), (5, 1, receipts.len() as u64));
    assert_eq!((summary.units, summary.minted), (totals.units, totals.supply.into()));
    assert_eq!((summary.deposited, summary.paid), (totals.deposited, totals.paid));
    assert_ne!(summary.state_root, Hash::default());
}

#[test]
fn entries_that_are_refused() {
    let sequencer = key(&context(), 60);
    let Story { context, pipeline, mut ledger, receipts, .. } = story(options(&sequencer).receipt_window(2));
    let (people, model) = (&pipeline.identities, pipeline.model.hash());
    let before = ledger.summary().unwrap();
    refused(Status::EXISTS, ledger.append(&receipts[0]));
    refused(Status::TRUNCATED, ledger.append(&receipts[0][..40]));
    refused(Status::TRUNCATED, ledger.append(&[]));
    let mut forged = entry::claim(&context, &author(&ledger, &people[1]), &model, 1).unwrap();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    refused(Status::SIGNATURE, ledger.append(&forged));
    let open = entry::account_open(&context, &author(&ledger, &people[0])).unwrap();
    refused(Status::EXISTS, ledger.append(&open));
    let late = EntryOptions::new(&people[0], ORIGIN, 1);
    let error = refused(Status::SEQUENCE, ledger.append(&entry::claim(&context, &late, &model, 0).unwrap()));
    assert!(error.message.contains("nonce"), "{error}");
    let too_much = entry::claim(&context, &author(&ledger, &people[1]), &model, 1 << 40).unwrap();
    refused(Status::LIMIT, ledger.append(&too_much));
    let elsewhere = EntryOptions::new(&people[1], "example.org/other", 2);
    let elsewhere = entry::claim(&context, &elsewhere, &model, 0).unwrap();
    refused(Status::SIGNATURE, ledger.append(&elsewhere));
    let expired = author(&ledger, &people[1]).valid_to_epoch(0);
    refused(Status::SEQUENCE, ledger.append(&entry::claim(&context, &expired, &model, 0).unwrap()));
    let unknown = Hash::of(b"no such model");
    refused(Status::NOT_FOUND, ledger.model(&unknown));
    refused(Status::NOT_FOUND, ledger.balance(&people[0].account(), &unknown));
    refused(Status::NOT_FOUND, ledger.holders(&unknown, None, 1));
    refused(Status::NOT_FOUND, ledger.entry(before.entries));
    assert_eq!(ledger.summary().unwrap(), before);

    let mixed = ledger.append_many(&[&receipts[0], &forged, &open]).unwrap();
    let statuses: Vec<Status> = mixed.iter().map(|b| b.status).collect();
    assert_eq!(statuses, [Status::EXISTS, Status::SIGNATURE, Status::EXISTS]);
    assert!(mixed.iter().all(|b| b.index.is_none()));
    assert_eq!(ledger.append_many::<Vec<u8>>(&[]).unwrap(), []);
}

#[test]
fn what_is_wrong_with_an_entry_is_said_before_it_is_signed() {
    let context = context();
    let (me, model) = (key(&context, 1), model(&context));
    let good = EntryOptions::new(&me, ORIGIN, 1).valid_to_epoch(NO_EXPIRY);
    for bad in
        [EntryOptions::new(&me, ORIGIN, 0), EntryOptions::new(&me, "a b", 1), EntryOptions::new(&me, "\0", 1)]
    {
        refused(Status::INVALID_ARGUMENT, entry::account_open(&context, &bad));
    }
    refused(Status::INVALID_ARGUMENT, entry::revenue_deposit(&context, &good, &model.hash(), 0));
    for bad in [
        terms(&model),                              // no mint
        terms(&model).mint(1, 1, 0),                // divides by nothing
        terms(&model).mint(u128::MAX, u64::MAX, 1), // too many shares
        terms(&model).mint(1000, 1, 1).designer_bps(10001),
        terms(&model).mint(1000, 1, 1).vest_epochs(5000),
        ModelTerms::new(model.hash(), Vec::new(), 16).mint(1000, 1, 1),
        ModelTerms::new(model.hash(), vec![1, 0], 16).mint(1000, 1, 1),
    ] {
        refused(Status::INVALID_ARGUMENT, entry::model_register(&context, &good, &bad));
    }
    // One that is longer than the first guess.
    let many = ModelTerms::new(model.hash(), vec![1; 4096], 16).mint(1000, 1, 1).vest_cliff(1).vest_epochs(2);
    let long = entry::model_register(&context, &good, &many.clone().profile(Hash::of(b"another"))).unwrap();
    assert!(long.len() > 8 * 4096);
    let mut ledger = Ledger::open(&context, &options(&me).treasurer(me.account())).unwrap();
    let nonce = ledger.next_nonce(&me.account());
    refused(Status::SEQUENCE, ledger.append(&long));
    let long = entry::model_register(&context, &EntryOptions::new(&me, ORIGIN, nonce), &many).unwrap();
    let index = ledger.append(&long).unwrap();
    assert_eq!(ledger.entry(index).unwrap(), long);
}

#[test]
fn proofs() {
    let sequencer = key(&context(), 60);
    let Story { mut ledger, receipts, .. } = story(options(&sequencer));
    let note = ledger.checkpoint().unwrap();
    let (size, root) = log::verify_checkpoint(&note, ORIGIN, &sequencer.public_key()).unwrap();
    let summary = ledger.summary().unwrap();
    assert_eq!((size, root), (summary.entries, summary.root));
    refused(Status::SIGNATURE, log::verify_checkpoint(&note, "example.org/other", &sequencer.public_key()));
    refused(Status::SIGNATURE, log::verify_checkpoint(&note, ORIGIN, &[1; 32]));
    refused(Status::MALFORMED, log::verify_checkpoint("", ORIGIN, &sequencer.public_key()));
    refused(Status::INVALID_ARGUMENT, log::verify_checkpoint(&note, "a\0b", &sequencer.public_key()));

    let index = 6; // Genesis, four accounts, the model
    assert_eq!(ledger.entry(index).unwrap(), receipts[0]);
    let leaf = log::leaf_hash(&receipts[0]);
    let proof = ledger.prove_inclusion(index, size).unwrap();
    log::verify_inclusion(&leaf, index, size, &proof, &root).unwrap();
    refused(Status::PROOF, log::verify_inclusion(&leaf, index + 1, size, &proof, &root));
    refused(Status::PROOF, log::verify_inclusion(&leaf, index, size, &proof[1..], &root));
    refused(Status::PROOF, log::verify_inclusion(&leaf, index, size, &[], &root));
    refused(Status::INVALID_ARGUMENT, ledger.prove_inclusion(size, size));

    ledger.close_epoch().unwrap();
    let newer = ledger.summary().unwrap();
    let proof = ledger.prove_consistency(size, newer.entries).unwrap();
    log::verify_consistency((size, &root), (newer.entries, &newer.root), &proof).unwrap();
    refused(Status::PROOF, log::verify_consistency((size - 1, &root), (newer.entries, &newer.root), &proof));
    refused(Status::INVALID_ARGUMENT, ledger.prove_consistency(2, 1));

    let vkey = log::vkey(ORIGIN, &sequencer.public_key()).unwrap();
    assert!(vkey.starts_with("example.org/test+") && vkey.len() == ORIGIN.len() + 1 + 8 + 1 + 44, "{vkey}");
    assert_eq!(log::vkey(&"x".repeat(128), &[1; 32]).unwrap().len(), 128 + 54);
    refused(Status::INVALID_ARGUMENT, log::vkey("a b", &[1; 32]));
}

#[test]
fn an_export_is_believed_by_nobody() {
    let sequencer = key(&context(), 60);
    let Story { context, mut ledger, .. } = story(options(&sequencer));
    let folder = Folder::new();
    let mut export = Vec::new();
    ledger.export(Sink::writer(&mut export)).unwrap();
    ledger.export(Sink::path(&context, folder.join("job.plog")).unwrap()).unwrap();
    assert_eq!(std::fs::read(folder.join("job.plog")).unwrap(), export);

    let key = sequencer.public_key();
    let verify = |bytes: &[u8], options: VerifyOptions<'_>| {
        log::verify(&context, &mut Source::reader(Cursor::new(bytes)).unwrap(), options)
    };
    let mut seen = Vec::new();
    let watched = VerifyOptions::new(ORIGIN, key).progress(|done, total| seen.push((done, total)));
    assert_eq!(verify(&export, watched).unwrap(), ledger.summary().unwrap());
    assert_eq!(seen.last(), Some(&(17, 17)));
    let mut source = Source::path(&context, folder.join("job.plog")).unwrap();
    log::verify(&context, &mut source, VerifyOptions::new(ORIGIN, key).skip_signatures()).unwrap();

    for at in (0..export.len()).step_by(97) {
        let mut altered = export.clone();
        altered[at] ^= 4;
        let error = verify(&altered, VerifyOptions::new(ORIGIN, key)).expect_err("altered");
        assert!(!error.message.is_empty(), "byte {at}: {error}");
    }
    refused(Status::TRUNCATED, verify(&export[..export.len() - 1], VerifyOptions::new(ORIGIN, key)));
    refused(Status::SIGNATURE, verify(&export, VerifyOptions::new(ORIGIN, [9; 32])));
    refused(Status::SIGNATURE, verify(&export, VerifyOptions::new("example.org/other", key)));
    refused(Status::INVALID_ARGUMENT, verify(&export, VerifyOptions::new("a\0", key)));
    let panics = VerifyOptions::new(ORIGIN, key).progress(|_, _| panic!("a report that panics, on purpose"));
    assert!(catch_unwind(AssertUnwindSafe(|| verify(&export, panics))).is_err());
}

#[test]
fn a_ledger_in_a_file() {
    let (context, folder) = (context(), Folder::new());
    let (me, path) = (key(&context, 60), folder.join("job.ledger"));
    refused(Status::NOT_FOUND, Ledger::open(&context, &LedgerOptions::new().path(&path)));
    let with_file = options(&me).path(&path).currency("EUR").decimals(3).receipt_window(2);
    let story = story(with_file.clone());
    refused(Status::UNAVAILABLE, Ledger::open(&context, &with_file));
    let (summary, receipt) = (story.ledger.summary().unwrap(), story.receipts[3].clone());
    drop(story);

    let mut ledger = Ledger::open(&context, &with_file).unwrap();
    assert_eq!((ledger.origin(), ledger.public_key()), (ORIGIN, me.public_key()));
    assert_eq!(ledger.summary().unwrap(), summary);
    assert_eq!(ledger.entry(9).unwrap(), receipt);
    refused(Status::EXISTS, ledger.append(&receipt));
    drop(ledger);
    let other = options(&key(&context, 61)).path(&path);
    refused(Status::MISMATCH, Ledger::open(&context, &other));
    refused(Status::MISMATCH, Ledger::open(&context, &with_file.origin("example.org/other")));

    let mut read_only = Ledger::open(&context, &LedgerOptions::new().path(&path)).unwrap();
    assert_eq!(read_only.summary().unwrap(), summary);
    refused(Status::INVALID_STATE, read_only.append(&receipt));
    refused(Status::INVALID_STATE, read_only.append_many(&[&receipt]));
    refused(Status::INVALID_STATE, read_only.close_epoch());
    refused(Status::INVALID_STATE, read_only.checkpoint());
    refused(Status::INVALID_STATE, read_only.export(Sink::writer(Vec::new())));

    std::fs::write(folder.join("not"), [7; 5000]).unwrap();
    let error = refused(Status::CORRUPT, Ledger::open(&context, &options(&me).path(folder.join("not"))));
    assert_eq!(error.status.class(), StatusClass::Fatal);
}

#[test]
fn options_are_checked() {
    let context = context();
    let me = key(&context, 60);
    for bad in [
        LedgerOptions::new().origin(ORIGIN),
        LedgerOptions::new().sequencer(&me),
        options(&me).origin("with space"),
        options(&me).origin("with\0nul"),
        options(&me).currency(""),
        options(&me).currency("\0"),
        options(&me).decimals(19),
        options(&me).receipt_window(0),
        options(&me).path(""),
        options(&me).path("a\0b"),
    ] {
        refused(Status::INVALID_ARGUMENT, Ledger::open(&context, &bad));
    }
}

#[test]
fn invalid_entries_are_logged_on_request() {
    let context = context();
    let me = key(&context, 60);
    let mut ledger = Ledger::open(&context, &options(&me).log_invalid()).unwrap();
    let claim = entry::claim(&context, &author(&ledger, &me), &Hash::of(b"none"), 0).unwrap();
    let became = ledger.append_many(&[claim]).unwrap();
    assert_eq!((became[0].status, became[0].index), (Status::NOT_FOUND, Some(1)));
    let summary = ledger.summary().unwrap();
    assert_eq!((summary.entries, summary.rejected), (2, 1));
}
