//! Entries beyond the everyday ones, and the signatures that some need of others.
//! `<pluralis/entries.h>` says what each field is, lib/ledger/FORMAT.md what each entry does.
// Fields have the names of the header, where each is explained.
#![allow(missing_docs)]
use std::ptr::null;

use super::entry::EntryOptions;
use crate::error::{call, Result};
use crate::ffi::{bytes_of, c_text, sized};
use crate::identity::PublicKey;
use crate::{sys, Context, Hash, Identity};

/// Names a receipt in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiptKey {
    pub model: Hash,
    pub epoch: u64,
    pub step: u64,
    pub lane: u32,
    pub block_first: u32,
    pub mb_first: u32,
}

/// Work of one stage on a window of micro-batches of one step. The worker is the author.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    pub key: ReceiptKey,
    pub profile: Hash,
    pub mb_count: u32,
    pub block_end: u32,
    pub tokens: u32,
    pub units: u64,
    pub frames_root: Hash,
    pub weight_root: Hash,
    pub weight_step: u64,
    pub upstream: Hash,
    pub downstream: Hash,
}

impl ReceiptKey {
    fn raw(&self) -> sys::plr_receipt_key {
        sys::plr_receipt_key {
            epoch: self.epoch,
            step: self.step,
            model: self.model.to_c(),
            lane: self.lane,
            block_first: self.block_first,
            mb_first: self.mb_first,
            reserved: 0,
        }
    }
}

impl Receipt {
    fn raw(&self) -> sys::plr_receipt {
        sys::plr_receipt {
            model: self.key.model.to_c(),
            profile: self.profile.to_c(),
            epoch: self.key.epoch,
            step: self.key.step,
            mb_first: self.key.mb_first,
            mb_count: self.mb_count,
            block_first: self.key.block_first,
            block_end: self.block_end,
            lane: self.key.lane,
            tokens: self.tokens,
            units: self.units,
            frames_root: self.frames_root.to_c(),
            weight_root: self.weight_root.to_c(),
            weight_step: self.weight_step,
            worker: [0; 32],
            upstream: self.upstream.0,
            downstream: self.downstream.0,
        }
    }
}

/// Metered serving; the client signs too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InferenceReceipt {
    pub model: Hash,
    pub epoch: u64,
    pub session: Hash,
    pub sequence: u32,
    pub block_first: u32,
    pub block_end: u32,
    pub tokens: u32,
    pub units: u64,
    pub price: u64,
    pub frames_root: Hash,
    pub client: Hash,
}

/// What an entry says.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Body<'a> {
    /// Another key for the account. `recovery`: the account of a key that may do this when the key is
    /// lost. `by_recovery`: that key, when it signs. The new key counter-signs.
    KeyRotate { key: PublicKey, recovery: Option<Hash>, by_recovery: Option<PublicKey> },
    /// A dataset of a model; its data account counter-signs.
    DataRegister { model: Hash, root: Hash, bps: u32, tokens: u64, data_account: Hash },
    /// Draws the auditors of a closed epoch.
    Assign { epoch: u64 },
    /// See [`commit_hash`].
    Commit { epoch: u64, hash: Hash },
    /// The secret behind a `Commit` of an epoch that is closed.
    Reveal { epoch: u64, secret: Hash },
    /// Upstream and downstream counter-sign.
    Receipt(Receipt),
    /// What the replay of a receipt came to.
    AuditResult { receipt: ReceiptKey, passed: bool, trace_root: Hash },
    /// Asks for an audit of a receipt, or for another.
    Dispute { receipt: ReceiptKey },
    /// Work for which these neighbours do not sign; the other one counter-signs.
    Refused { receipt: Receipt, upstream: bool, downstream: bool },
    /// The neighbour's answer to `Refused`: it agrees after all.
    Answer { receipt: ReceiptKey },
    /// Two checkpoints of the log that contradict each other.
    Fork { first: &'a [u8], second: &'a [u8] },
    /// Two receipts, whole entries, in which a worker sold the same work twice.
    DoubleWork { first: &'a [u8], second: &'a [u8] },
    /// The witness counter-signs.
    Milestone { model: Hash, number: u32, step: u64, weight_root: Hash, report: Hash, witness: Hash },
    /// The client counter-signs.
    InferenceReceipt(InferenceReceipt),
    /// Shares for another account, with the next EpochClose.
    Transfer { model: Hash, to: Hash, shares: u64 },
    /// Punishes the faults of an account in a model.
    Slash { model: Hash, account: Hash },
    /// See [`Ledger::settle`](super::Ledger::settle), which makes it.
    SettlementRoot { reward: [u8; 20], scale: u32, leaves: u32, total: u64, root: Hash },
    /// `parameter`: one of `PLR_PARAM_...`.
    ParamChange { parameter: u32, value: u64, from_epoch: u64 },
}

/// A struct of the C header with its struct_size and these fields.
macro_rules! raw {
    ($kind:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        // Safety: a struct with a struct_size, for which zeros are valid.
        let mut raw: sys::$kind = unsafe { sized() };
        $(raw.$field = $value;)*
        raw
    }};
}

fn evidence(kind: u32, first: &[u8], second: &[u8]) -> sys::plr_evidence {
    raw!(plr_evidence {
        kind: kind,
        first: first.as_ptr().cast(),
        second: second.as_ptr().cast(),
        first_len: first.len() as u64,
        second_len: second.len() as u64,
    })
}

fn dispute(kind: u32, refusers: u32, receipt: &Receipt) -> sys::plr_dispute {
    raw!(plr_dispute { kind: kind, refusers: refusers, receipt: receipt.raw() })
}

/// One entry, signed by its author.
struct Writing<'a> {
    context: &'a Context,
    options: &'a EntryOptions,
}

impl Writing<'_> {
    fn entry<T>(&self, kind: u32, raw: &T) -> Result<Vec<u8>> {
        let (ctx, fields) = (self.context.as_ptr(), (raw as *const T).cast());
        // Safety: live handles; the struct is the one of this type; at most `cap` bytes are written.
        self.options.write(|options, out, cap, len, err| unsafe {
            sys::plr_entry_write(ctx, options, kind, fields, out.cast(), cap, len, err)
        })
    }

    fn named(&self, kind: u32, key: &ReceiptKey) -> Result<Vec<u8>> {
        let receipt = Receipt { key: *key, ..Receipt::default() };
        self.entry(sys::PLR_ENTRY_DISPUTE, &dispute(kind, 0, &receipt))
    }

    fn commit(&self, phase: u32, epoch: u64, value: &Hash) -> Result<Vec<u8>> {
        let raw = raw!(plr_commit { phase: phase, epoch: epoch, value: value.to_c() });
        self.entry(sys::PLR_ENTRY_COMMIT, &raw)
    }

    fn inference(&self, x: &InferenceReceipt) -> Result<Vec<u8>> {
        let raw = raw!(plr_inference_receipt {
            model: x.model.to_c(),
            epoch: x.epoch,
            session: x.session.to_c(),
            sequence: x.sequence,
            block_first: x.block_first,
            block_end: x.block_end,
            tokens: x.tokens,
            units: x.units,
            price: x.price,
            frames_root: x.frames_root.to_c(),
            client: x.client.0,
        });
        self.entry(sys::PLR_ENTRY_INFERENCE_RECEIPT, &raw)
    }

    fn key_rotate(&self, key: &PublicKey, recovery: Option<Hash>, by: Option<PublicKey>) -> Result<Vec<u8>> {
        let raw = raw!(plr_key_rotate {
            way: u32::from(by.is_some()),
            recovery_key: by.unwrap_or_default(),
            key: *key,
            recovery: recovery.unwrap_or_default().0,
        });
        self.entry(sys::PLR_ENTRY_KEY_ROTATE, &raw)
    }
}

/// Writes an entry, signed by its author; others may have to counter-sign it. `INVALID_ARGUMENT`,
/// `LIMIT`.
pub fn write(context: &Context, options: &EntryOptions, body: &Body<'_>) -> Result<Vec<u8>> {
    let w = Writing { context, options };
    match *body {
        Body::KeyRotate { key, recovery, by_recovery } => w.key_rotate(&key, recovery, by_recovery),
        Body::DataRegister { model, root, bps, tokens, data_account } => {
            let (model, root, data_account) = (model.to_c(), root.to_c(), data_account.0);
            let raw = raw!(plr_data_register {
                model: model,
                root: root,
                bps: bps,
                tokens: tokens,
                data_account: data_account
            });
            w.entry(sys::PLR_ENTRY_DATA_REGISTER, &raw)
        }
        Body::Assign { epoch } => w.entry(sys::PLR_ENTRY_ASSIGN, &raw!(plr_assign { epoch: epoch })),
        Body::Commit { epoch, hash } => w.commit(0, epoch, &hash),
        Body::Reveal { epoch, secret } => w.commit(1, epoch, &secret),
        Body::Receipt(receipt) => w.entry(sys::PLR_ENTRY_RECEIPT, &receipt.raw()),
        Body::AuditResult { receipt, passed, trace_root } => {
            let (verdict, trace_root) = (if passed { 1 } else { 2 }, trace_root.to_c());
            let raw =
                raw!(plr_audit_result { verdict: verdict, receipt: receipt.raw(), trace_root: trace_root });
            w.entry(sys::PLR_ENTRY_AUDIT_RESULT, &raw)
        }
        Body::Dispute { receipt } => w.named(0, &receipt),
        Body::Refused { receipt, upstream, downstream } => {
            let refusers = u32::from(upstream) | u32::from(downstream) << 1;
            w.entry(sys::PLR_ENTRY_DISPUTE, &dispute(1, refusers, &receipt))
        }
        Body::Answer { receipt } => w.named(2, &receipt),
        Body::Fork { first, second } => w.entry(sys::PLR_ENTRY_EVIDENCE, &evidence(0, first, second)),
        Body::DoubleWork { first, second } => w.entry(sys::PLR_ENTRY_EVIDENCE, &evidence(1, first, second)),
        Body::Milestone { model, number, step, weight_root, report, witness } => {
            let (model, weight_root, report) = (model.to_c(), weight_root.to_c(), report.to_c());
            let raw = raw!(plr_milestone {
                model: model,
                number: number,
                step: step,
                weight_root: weight_root,
                report: report,
                witness: witness.0
            });
            w.entry(sys::PLR_ENTRY_MILESTONE, &raw)
        }
        Body::InferenceReceipt(receipt) => w.inference(&receipt),
        Body::Transfer { model, to, shares } => {
            let raw = raw!(plr_transfer { model: model.to_c(), to: to.0, shares: shares });
            w.entry(sys::PLR_ENTRY_TRANSFER, &raw)
        }
        Body::Slash { model, account } => {
            w.entry(sys::PLR_ENTRY_SLASH, &raw!(plr_slash { model: model.to_c(), account: account.0 }))
        }
        Body::SettlementRoot { reward, scale, leaves, total, root } => {
            let root = root.to_c();
            let raw = raw!(plr_settlement_root {
                reward: reward,
                scale: scale,
                leaves: leaves,
                total: total,
                root: root
            });
            w.entry(sys::PLR_ENTRY_SETTLEMENT_ROOT, &raw)
        }
        Body::ParamChange { parameter, value, from_epoch } => {
            let raw = raw!(plr_param_change { parameter: parameter, value: value, from_epoch: from_epoch });
            w.entry(sys::PLR_ENTRY_PARAM_CHANGE, &raw)
        }
    }
}

/// In what role somebody signs another's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Upstream,
    Downstream,
    NewKey,
    Counter,
}

/// The entry with one more signature. Read what you sign: [`json`]. `account`: of the signer, when its
/// key has been rotated. `EXISTS`: signed before.
pub fn countersign(
    context: &Context,
    entry: &[u8],
    identity: &Identity,
    role: Role,
    account: Option<&Hash>,
    origin: &str,
) -> Result<Vec<u8>> {
    let origin = c_text("entry.origin", origin)?;
    let role = match role {
        Role::Upstream => sys::PLR_SIGN_UPSTREAM,
        Role::Downstream => sys::PLR_SIGN_DOWNSTREAM,
        Role::NewKey => sys::PLR_SIGN_NEW_KEY,
        Role::Counter => sys::PLR_SIGN_COUNTER,
    };
    let mut buffer = entry.to_vec();
    let mut len = entry.len();
    buffer.resize(len.max(sys::PLR_ENTRY_MAX as usize), 0);
    let account = account.map_or(null(), Hash::as_ptr);
    // Safety: live handles; the buffer holds `len` bytes of what it can.
    call(|err| unsafe {
        let (ctx, out) = (context.as_ptr(), buffer.as_mut_ptr().cast());
        let cap = buffer.len();
        sys::plr_entry_countersign(
            ctx,
            identity.as_ptr(),
            role,
            account,
            origin.as_ptr(),
            out,
            cap,
            &mut len,
            err,
        )
    })?;
    buffer.truncate(len);
    Ok(buffer)
}

/// An entry as one JSON object. `MALFORMED`, `TRUNCATED`, `VERSION`.
pub fn json(context: &Context, entry: &[u8]) -> Result<String> {
    // Safety: a live context; the entry is read; at most `cap` bytes are written.
    let text = bytes_of(2048, |out, cap, len, err| unsafe {
        let data = entry.as_ptr().cast();
        sys::plr_entry_json(context.as_ptr(), data, entry.len(), out.cast(), cap, len, err)
    })?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// What a `Commit` says of a secret.
pub fn commit_hash(account: &Hash, epoch: u64, secret: &Hash) -> Hash {
    let mut out = Hash::default();
    // Safety: reads and writes 32 bytes each.
    unsafe { sys::plr_commit_hash(account.as_ptr(), epoch, secret.as_ptr(), out.as_mut_ptr()) };
    out
}
