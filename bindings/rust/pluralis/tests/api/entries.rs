use pluralis::ledger::body::{self, Body, InferenceReceipt, Receipt, ReceiptKey, Role};
use pluralis::ledger::entry::{self, EntryOptions, ModelTerms};
use pluralis::ledger::settlement;
use pluralis::*;

use crate::pipeline::key;
use crate::support::*;

const MODEL: Hash = Hash([5; 32]);
const FORK: Hash = Hash([6; 32]);
const REWARD: [u8; 20] = [0xaa; 20];

struct World {
    context: Context,
    people: Vec<Identity>,
    ledger: Ledger,
}

impl World {
    fn new() -> World {
        let context = context();
        let people: Vec<_> = (60..65).map(|n| key(&context, n)).collect();
        let options = LedgerOptions::new().origin(ORIGIN).sequencer(&people[0]);
        let mut ledger = Ledger::open(&context, &options).unwrap();
        for person in &people[1..] {
            let open = entry::account_open(&context, &EntryOptions::new(person, ORIGIN, 1)).unwrap();
            ledger.append(&open).unwrap();
        }
        World { context, people, ledger }
    }

    fn author(&self, who: usize) -> EntryOptions {
        let person = &self.people[who];
        EntryOptions::new(person, ORIGIN, self.ledger.next_nonce(&person.account()))
    }

    fn put(&mut self, who: usize, body: &Body<'_>) -> Result<u64> {
        let entry = body::write(&self.context, &self.author(who), body)?;
        self.ledger.append(&entry)
    }

    fn register(&mut self, terms: &ModelTerms) {
        let entry = entry::model_register(&self.context, &self.author(4), terms).unwrap();
        self.ledger.append(&entry).unwrap();
    }

    fn sign(&self, entry: &[u8], who: usize, role: Role) -> Vec<u8> {
        body::countersign(&self.context, entry, &self.people[who], role, None, ORIGIN).unwrap()
    }

    /// Work of 1, between 2 and 3.
    fn work(&mut self, model: Hash) {
        let receipt = Receipt {
            key: ReceiptKey { model, ..ReceiptKey::default() },
            profile: Hash::of_profile(),
            mb_count: 1,
            block_end: 2,
            tokens: 64,
            units: 64 * 30,
            upstream: self.people[2].account(),
            downstream: self.people[3].account(),
            ..Receipt::default()
        };
        let entry = body::write(&self.context, &self.author(1), &Body::Receipt(receipt)).unwrap();
        let entry = self.sign(&entry, 3, Role::Downstream);
        let entry = self.sign(&entry, 2, Role::Upstream);
        self.ledger.append(&entry).unwrap();
    }
}

fn terms(model: Hash) -> ModelTerms {
    ModelTerms::new(model, [10, 20], 64).mint(1 << 30, 1, 10)
}

#[test]
fn forks_pay_their_parents() {
    let mut w = World::new();
    w.register(&terms(MODEL));
    w.register(&terms(FORK).parent(MODEL, 2500));
    assert_eq!(w.ledger.parents(&FORK).unwrap(), [(MODEL, 2500)]);
    assert_eq!(w.ledger.parents(&MODEL).unwrap(), []);
    w.work(MODEL);
    w.work(FORK);
    w.ledger.close_epoch().unwrap();
    let deposit = entry::revenue_deposit(&w.context, &w.author(0), &FORK, 1536).unwrap();
    w.ledger.append(&deposit).unwrap();
    w.ledger.close_epoch().unwrap();
    let (parent, fork) = (w.ledger.model(&MODEL).unwrap(), w.ledger.model(&FORK).unwrap());
    assert_eq!((parent.royalty_in, fork.royalty_out, fork.depth), (384, 384, 1));
    let worker = w.people[1].account();
    assert_eq!(w.ledger.balance(&worker, &MODEL).unwrap().payable, 384);
    assert_eq!(w.ledger.balance(&worker, &FORK).unwrap().payable, 1152);

    let claim = entry::claim_to(&w.context, &w.author(1), &MODEL, 0, &[0x11; 20]).unwrap();
    w.ledger.append(&claim).unwrap();
    let root = w.ledger.settle(&REWARD, 2).unwrap();
    let leaves = w.ledger.settlement_leaves(&REWARD, 2, 0, 10).unwrap();
    assert_eq!(leaves.len(), 1);
    assert_eq!(leaves[0].claimable[30..], [(38400u32 >> 8) as u8, (38400u32 & 255) as u8]);
    assert_eq!(settlement::root(&w.context, &leaves).unwrap(), root);
    let proof = settlement::prove(&w.context, &leaves, 0).unwrap();
    settlement::verify(&leaves[0], &proof, &root).unwrap();
    assert!(settlement::verify(&leaves[0], &proof, &MODEL).is_err());
    assert!(settlement::keccak256(b"").to_string().starts_with("c5d24601"));
}

#[test]
fn shares_and_keys_change_hands() {
    let mut w = World::new();
    w.register(&terms(MODEL));
    w.work(MODEL);
    w.ledger.close_epoch().unwrap();
    let to = w.people[3].account();
    w.put(1, &Body::Transfer { model: MODEL, to, shares: 92 }).unwrap();
    w.ledger.close_epoch().unwrap();
    assert_eq!(w.ledger.balance(&to, &MODEL).unwrap().shares, 92);
    let many = Body::Transfer { model: MODEL, to, shares: 101 };
    assert_eq!(w.put(1, &many).unwrap_err().status, Status::LIMIT);

    let next = key(&w.context, 99);
    let rotate = Body::KeyRotate { key: next.public_key(), recovery: None, by_recovery: None };
    let entry = body::write(&w.context, &w.author(1), &rotate).unwrap();
    let entry = body::countersign(&w.context, &entry, &next, Role::NewKey, None, ORIGIN).unwrap();
    w.ledger.append(&entry).unwrap();
    let transfer = Body::Transfer { model: MODEL, to, shares: 1 };
    assert_eq!(w.put(1, &transfer).unwrap_err().status, Status::SIGNATURE);
    let account = w.people[1].account();
    let options = EntryOptions::new(&next, ORIGIN, w.ledger.next_nonce(&account)).account(account);
    let entry = body::write(&w.context, &options, &transfer).unwrap();
    w.ledger.append(&entry).unwrap();
}

#[test]
fn every_body() {
    let mut w = World::new();
    let (h, receipt) = (Hash([9; 32]), ReceiptKey { model: MODEL, ..ReceiptKey::default() });
    let whole =
        Receipt { key: receipt, mb_count: 1, block_end: 1, tokens: 1, units: 1, ..Receipt::default() };
    let served = InferenceReceipt { block_end: 1, tokens: 1, units: 1, ..InferenceReceipt::default() };
    let bodies = [
        (Body::DataRegister { model: MODEL, root: h, bps: 1, tokens: 5, data_account: h }, "data_register"),
        (Body::Assign { epoch: 1 }, "assign"),
        (Body::AuditResult { receipt, passed: true, trace_root: h }, "audit_result"),
        (Body::Dispute { receipt }, "dispute"),
        (Body::Refused { receipt: whole, upstream: true, downstream: true }, "dispute"),
        (Body::Answer { receipt }, "dispute"),
        (Body::Fork { first: b"a", second: b"b" }, "evidence"),
        (Body::DoubleWork { first: b"a", second: b"" }, "evidence"),
        (
            Body::Milestone { model: MODEL, number: 1, step: 2, weight_root: h, report: h, witness: h },
            "milestone",
        ),
        (Body::InferenceReceipt(served), "inference_receipt"),
        (Body::Slash { model: MODEL, account: h }, "slash"),
        (Body::SettlementRoot { reward: REWARD, scale: 1, leaves: 1, total: 1, root: h }, "settlement_root"),
        (Body::ParamChange { parameter: 6, value: 1, from_epoch: 9 }, "param_change"),
    ];
    for (body, name) in &bodies {
        let entry = body::write(&w.context, &w.author(1), body).unwrap();
        let told = body::json(&w.context, &entry).unwrap();
        assert!(told.contains(&format!("\"type\": \"{name}\"")), "{told}");
    }
    let wrong = Body::ParamChange { parameter: 99, value: 1, from_epoch: 9 };
    assert_eq!(w.put(0, &wrong).unwrap_err().status, Status::INVALID_ARGUMENT);
    let (account, secret) = (w.people[1].account(), h);
    let hash = body::commit_hash(&account, 0, &secret);
    w.put(1, &Body::Commit { epoch: 0, hash }).unwrap();
    w.ledger.close_epoch().unwrap();
    w.put(1, &Body::Reveal { epoch: 0, secret }).unwrap();
    w.put(0, &Body::Assign { epoch: 0 }).unwrap();
}
