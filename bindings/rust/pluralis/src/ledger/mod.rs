//! The contribution ledger: an append-only log of signed entries, and a state that is a pure function of
//! that log. Anyone who has an export and the log's public key replays everything from nothing and
//! reaches the same state root. `<pluralis/ledger.h>` says what each entry does.
pub mod body;
pub mod entry;
pub mod log;
pub mod mirror;
pub mod publish;
pub mod settlement;
pub mod store;

use std::ffi::CStr;
use std::path::PathBuf;
use std::ptr::{null, null_mut, NonNull};

use crate::error::{call, check, Result, Status};
use crate::ffi::{bytes_of, c_path, c_text, create, defaults, record, setters, sized, FromC};
use crate::identity::PublicKey;
use crate::io::Sink;
use crate::{sys, Context, Hash, Identity};

use store::{Bridge, SharedStore};

/// How a [`Ledger`] is opened.
#[derive(Clone)]
pub struct LedgerOptions {
    raw: sys::plr_ledger_options,
    path: Option<PathBuf>,
    origin: Option<String>,
    currency: Option<String>,
    sequencer: Option<Identity>,
    store: Option<SharedStore>,
}

// Safety: the one pointer in `raw` is the default currency, a static text.
unsafe impl Send for LedgerOptions {}
unsafe impl Sync for LedgerOptions {}

impl Default for LedgerOptions {
    fn default() -> Self {
        LedgerOptions::new()
    }
}

impl LedgerOptions {
    /// The defaults: in memory. A new ledger needs an origin and a sequencer.
    pub fn new() -> Self {
        LedgerOptions {
            // Safety: the `_init` function of these options.
            raw: unsafe { defaults(|o, size| sys::plr_ledger_options_init(o, size)) },
            path: None,
            origin: None,
            currency: None,
            sequencer: None,
            store: None,
        }
    }

    setters! {
        /// Of the currency of a new ledger, 0 to 18; default 2.
        decimals: u32,
        /// Epochs whose receipts a new ledger accepts, the open one included: 1, the default, to 1024.
        receipt_window: u32,
    }

    /// SQLite file, created when absent.
    #[must_use]
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// A store of your own instead of a path.
    #[must_use]
    pub fn store(mut self, store: SharedStore) -> Self {
        self.store = Some(store);
        self
    }

    /// Name of the log, for instance `example.org/job`: 1 to 128 printable ASCII characters, no space,
    /// no `+`. A file that exists may have any when this is not given.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Orders entries and signs checkpoints. Without one a ledger can only be read.
    #[must_use]
    pub fn sequencer(mut self, sequencer: &Identity) -> Self {
        self.sequencer = Some(sequencer.clone());
        self
    }

    /// Currency of a new ledger: 1 to 16 characters as in `origin`; default `XTS` (ISO 4217: for
    /// testing).
    #[must_use]
    pub fn currency(mut self, currency: impl Into<String>) -> Self {
        self.currency = Some(currency.into());
        self
    }

    /// Only account that may deposit in a new ledger; by default any may.
    #[must_use]
    pub fn treasurer(mut self, account: Hash) -> Self {
        self.raw.treasurer = account.0;
        self
    }

    /// Logs an entry that fails, with no effect but its nonce, if its signatures hold. By default it is
    /// refused and leaves no trace.
    #[must_use]
    pub fn log_invalid(mut self) -> Self {
        self.raw.log_invalid = 1;
        self
    }

    /// Runs `function` with the options as C reads them, during the call only; gives what C keeps using.
    fn lend(
        &self,
        function: impl FnOnce(*const sys::plr_ledger_options) -> Result<()>,
    ) -> Result<Option<Box<Bridge>>> {
        let text = |where_, text: &Option<String>| match text {
            Some(text) => c_text(where_, text).map(Some),
            None => Ok(None),
        };
        let path = self.path.as_deref().map(c_path).transpose()?;
        let origin = text("ledger.origin", &self.origin)?;
        let currency = text("ledger.currency", &self.currency)?;
        let mut bridge = self.store.as_ref().map(Bridge::new);
        let store = bridge.as_mut().map(|bridge| bridge.raw());
        let mut raw = self.raw;
        raw.path = path.as_deref().map_or(null(), CStr::as_ptr);
        raw.origin = origin.as_deref().map_or(null(), CStr::as_ptr);
        if let Some(currency) = &currency {
            raw.currency = currency.as_ptr();
        }
        raw.sequencer = self.sequencer.as_ref().map_or(null(), Identity::as_ptr);
        raw.store = store.as_ref().map_or(null(), |store| store);
        function(&raw)?;
        Ok(bridge)
    }
}

record! {
    /// A ledger in numbers.
    Summary from plr_ledger_summary {
        /// In the log.
        entries: u64,
        /// Of these, logged without effect.
        rejected: u64,
        /// The open one.
        epoch: u64,
        /// Known keys.
        accounts: u64,
        /// Registered models.
        models: u64,
        /// Accepted, the open epoch's included.
        receipts: u64,
        /// Work units in them.
        units: u128,
        /// Shares of all models.
        minted: u128,
        /// Smallest units of the currency.
        deposited: u64,
        /// Smallest units of the currency.
        paid: u64,
        /// Of the log.
        root: Hash,
        /// In the last EpochClose; zero before the first.
        state_root: Hash,
        /// Shares of all models that were slashed or given up.
        burned: u128,
    }
}

record! {
    /// A model in numbers.
    ModelTotals from plr_model_totals {
        /// Blocks.
        block_count: u32,
        /// Account of the designer.
        designer: Hash,
        /// Shares.
        supply: u64,
        /// Accounts that hold shares.
        holders: u64,
        /// Verified work units, closed epochs.
        units: u128,
        /// Verified work units in the open epoch.
        epoch_units: u128,
        /// Receipts, closed epochs.
        receipts: u64,
        /// Smallest units of the currency.
        deposited: u64,
        /// Smallest units of the currency.
        paid: u64,
        /// Deposits waiting for the first share.
        held: u64,
        /// Shares ever minted: supply = minted - burned - provisional.
        minted: u64,
        /// Shares slashed or given up.
        burned: u64,
        /// Shares of the designer that wait for a milestone.
        provisional: u64,
        /// From forks.
        royalty_in: u64,
        /// To parents.
        royalty_out: u64,
        /// Of deposits, for serving, not paid yet.
        escrow: u64,
        /// Paid for serving.
        served_paid: u64,
        /// Units served.
        served: u128,
        /// Tokens fed, closed epochs.
        data_tokens: u128,
        /// See [`Ledger::parents`].
        parent_count: u32,
        /// Of the lineage; 0 without parents.
        depth: u32,
        /// How many.
        milestones: u32,
        /// How many.
        datasets: u32,
    }
}

record! {
    /// What one account has in one model.
    Balance from plr_balance {
        /// The account.
        account: Hash,
        /// Shares.
        shares: u64,
        /// Of these, vested.
        vested: u64,
        /// Smallest units of the currency.
        payable: u64,
        /// Smallest units of the currency.
        paid: u64,
        /// Verified work units, the open epoch's included.
        units: u128,
        /// Receipts, the open epoch's included.
        receipts: u64,
        /// Tokens fed as upstream of the first block, the open epoch's included.
        data_tokens: u64,
    }
}

/// What became of one entry of [`Ledger::append_many`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Place in the log, `None` when it was not logged.
    pub index: Option<u64>,
    /// `OK`, or why it had no effect, as [`Ledger::append`] would say.
    pub status: Status,
}

/// A ledger. Used by one thread at a time.
pub struct Ledger {
    ptr: NonNull<sys::plr_ledger>,
    _sequencer: Option<Identity>,
    _store: Option<Box<Bridge>>,
    _context: Context,
}

// Safety: <pluralis/base.h>: used by one thread at a time, any of them.
unsafe impl Send for Ledger {}

impl Drop for Ledger {
    fn drop(&mut self) {
        // Safety: a live ledger; its sequencer is dropped after this.
        unsafe { sys::plr_ledger_destroy(self.ptr.as_ptr()) }
    }
}

impl Ledger {
    /// Opens or creates a ledger. A store is always left consistent. A file has one writer, and any number
    /// of ledgers without a sequencer may have it open at the same time.
    /// `INVALID_ARGUMENT`, `NOT_FOUND` (read-only and absent), `UNAVAILABLE` (open elsewhere), `MISMATCH`
    /// (other origin or sequencer), `VERSION`, `CORRUPT`, `IO`, `NO_SPACE`.
    pub fn open(context: &Context, options: &LedgerOptions) -> Result<Ledger> {
        let mut ptr = None;
        let bridge = options.lend(|raw| {
            // Safety: live handles; the sequencer and the store live in the `Ledger`.
            ptr = Some(create(|out, err| unsafe { sys::plr_ledger_open(context.as_ptr(), raw, out, err) })?);
            Ok(())
        })?;
        let ptr = ptr.ok_or(Status::INTERNAL)?;
        let _sequencer = options.sequencer.clone();
        Ok(Ledger { ptr, _sequencer, _store: bridge, _context: context.clone() })
    }

    /// Stores the state anew, so that the next opening replays nothing, and gives back space that is not
    /// used. `INVALID_STATE` (read-only), `IO`, `NO_SPACE`.
    pub fn compact(&mut self) -> Result<()> {
        // Safety: a live ledger.
        call(|err| unsafe { sys::plr_ledger_compact(self.ptr(), err) })
    }

    fn ptr(&self) -> *mut sys::plr_ledger {
        self.ptr.as_ptr()
    }

    /// Name of the log.
    pub fn origin(&self) -> &str {
        // Safety: a text that lives as long as the ledger, and is ASCII.
        let origin = unsafe { CStr::from_ptr(sys::plr_ledger_origin(self.ptr(), null_mut())) };
        origin.to_str().unwrap_or("")
    }

    /// The sequencer's public key.
    pub fn public_key(&self) -> PublicKey {
        let mut key = [0; 32];
        // Safety: a live ledger; 32 bytes are written.
        unsafe { sys::plr_ledger_origin(self.ptr(), key.as_mut_ptr()) };
        key
    }

    // ---- append ----

    /// Appends one entry and makes it durable; gives its place in the log. One that is not valid is
    /// refused, with a status that says why: `MALFORMED`, `TRUNCATED`, `VERSION`, `SIGNATURE`,
    /// `SEQUENCE`, `NOT_FOUND`, `EXISTS`, `MISMATCH`, `LIMIT`. Other errors: `INVALID_STATE`
    /// (read-only), `IO`, `NO_SPACE`; those of class `Fatal` end the handle.
    pub fn append(&mut self, entry: &[u8]) -> Result<u64> {
        let mut index = 0;
        // Safety: a live ledger; the entry is read.
        call(|err| unsafe {
            let data = entry.as_ptr().cast();
            sys::plr_ledger_append(self.ptr(), data, entry.len(), &mut index, err)
        })?;
        Ok(index)
    }

    /// Appends entries in order, in one transaction. A failure means that none was appended.
    pub fn append_many<T: AsRef<[u8]>>(&mut self, entries: &[T]) -> Result<Vec<Appended>> {
        let item = |entry: &T| sys::plr_append_item {
            entry: entry.as_ref().as_ptr().cast(),
            len: entry.as_ref().len(),
            index: 0,
            status: 0,
            reserved: 0,
        };
        let mut items: Vec<_> = entries.iter().map(item).collect();
        // Safety: a live ledger; entries are read, items written.
        call(|err| unsafe { sys::plr_ledger_append_many(self.ptr(), items.as_mut_ptr(), items.len(), err) })?;
        let became = |item: &sys::plr_append_item| Appended {
            index: (item.index != u64::MAX).then_some(item.index),
            status: Status(item.status),
        };
        Ok(items.iter().map(became).collect())
    }

    /// Closes the open epoch: work becomes shares. Gives the entry's place in the log.
    pub fn close_epoch(&mut self) -> Result<u64> {
        let mut index = 0;
        // Safety: a live ledger.
        call(|err| unsafe { sys::plr_ledger_close_epoch(self.ptr(), &mut index, err) })?;
        Ok(index)
    }

    /// Appends SettlementRoot over all that was claimed to addresses; its root. What is claimable is
    /// 10^scale times the ledger's unit. `NOT_FOUND`: nothing was claimed to an address.
    pub fn settle(&mut self, reward: &[u8; 20], scale: u32) -> Result<Hash> {
        let mut root = Hash::default();
        // Safety: a live ledger; 20 bytes are read, 32 written.
        call(|err| unsafe {
            let root = root.as_mut_ptr();
            sys::plr_ledger_settle(self.ptr(), reward.as_ptr(), scale, root, null_mut(), err)
        })?;
        Ok(root)
    }

    /// What was claimed to addresses, in order of address: at most `limit`, from number `first` on.
    pub fn settlement_leaves(
        &self,
        reward: &[u8; 20],
        scale: u32,
        first: u64,
        limit: usize,
    ) -> Result<Vec<settlement::Leaf>> {
        // Safety: all zero is a valid leaf.
        let zero: sys::plr_settlement_leaf = unsafe { std::mem::zeroed() };
        let mut raw = vec![zero; limit];
        let mut count = 0;
        // Safety: a live ledger; at most `limit` leaves are written.
        check(unsafe {
            let (ledger, out, reward) = (self.ptr(), raw.as_mut_ptr(), reward.as_ptr());
            sys::plr_ledger_settlement_leaves(ledger, reward, scale, first, out, limit, &mut count)
        })?;
        raw.truncate(count);
        Ok(raw.into_iter().map(settlement::Leaf::of).collect())
    }

    // ---- state ----

    /// The ledger in numbers.
    pub fn summary(&self) -> Result<Summary> {
        // Safety: a struct with a struct_size; a live ledger.
        let mut raw: sys::plr_ledger_summary = unsafe { sized() };
        check(unsafe { sys::plr_ledger_summarize(self.ptr(), &mut raw) })?;
        Ok(Summary::from_c(raw))
    }

    /// Nonce of the next entry of an account; 1 when the account is unknown.
    pub fn next_nonce(&self, account: &Hash) -> u64 {
        // Safety: a live ledger; 32 bytes are read.
        unsafe { sys::plr_ledger_next_nonce(self.ptr(), account.as_ptr()) }
    }

    /// A model in numbers. `NOT_FOUND`.
    pub fn model(&self, model: &Hash) -> Result<ModelTotals> {
        // Safety: a struct with a struct_size; a live ledger.
        let mut raw: sys::plr_model_totals = unsafe { sized() };
        check(unsafe { sys::plr_ledger_model(self.ptr(), model.as_ptr(), &mut raw) })?;
        Ok(ModelTotals::from_c(raw))
    }

    /// What a model is built on, with the parts of its revenue in 1/10000. `NOT_FOUND`.
    pub fn parents(&self, model: &Hash) -> Result<Vec<(Hash, u32)>> {
        // Safety: all zero is a valid parent.
        let mut raw: [sys::plr_parent; 4] = unsafe { std::mem::zeroed() };
        let mut count = 0;
        // Safety: a live ledger; at most four parents are written.
        check(unsafe { sys::plr_ledger_parents(self.ptr(), model.as_ptr(), raw.as_mut_ptr(), &mut count) })?;
        let parents = raw.iter().take(count as usize);
        Ok(parents.map(|parent| (Hash(parent.model.bytes), parent.bps)).collect())
    }

    /// What an account has in a model: all zero for one that has nothing. `NOT_FOUND`: the model.
    pub fn balance(&self, account: &Hash, model: &Hash) -> Result<Balance> {
        // Safety: all zero is a valid balance; a live ledger.
        let mut raw: sys::plr_balance = unsafe { std::mem::zeroed() };
        let (account, model) = (account.as_ptr(), model.as_ptr());
        check(unsafe { sys::plr_ledger_balance(self.ptr(), account, model, &mut raw) })?;
        Ok(Balance::from_c(raw))
    }

    /// Holders of a model in order of account id: up to `limit` of them whose id is above `after`, or
    /// from the first. Fewer come at the end. `NOT_FOUND`: the model.
    pub fn holders(&self, model: &Hash, after: Option<&Hash>, limit: usize) -> Result<Vec<Balance>> {
        let limit = limit.min(self.model(model)?.holders as usize + 1);
        // Safety: all zero is a valid balance.
        let zero: sys::plr_balance = unsafe { std::mem::zeroed() };
        let mut raw = vec![zero; limit];
        let mut count = 0;
        // Safety: a live ledger; at most `limit` balances are written.
        check(unsafe {
            let (model, after) = (model.as_ptr(), after.map_or(null(), Hash::as_ptr));
            let ledger = self.ptr();
            sys::plr_ledger_holders(ledger, model, after, raw.as_mut_ptr(), limit, &mut count)
        })?;
        raw.truncate(count);
        Ok(raw.into_iter().map(Balance::from_c).collect())
    }

    /// Bytes of an entry. `NOT_FOUND`, `IO`, `CORRUPT`.
    pub fn entry(&mut self, index: u64) -> Result<Vec<u8>> {
        // Safety: a live ledger; at most `cap` bytes are written.
        bytes_of(1024, |out, cap, len, err| unsafe {
            sys::plr_ledger_entry(self.ptr(), index, out.cast(), cap, len, err)
        })
    }

    // ---- log ----

    /// Signs the log's size and root as a C2SP checkpoint, and records it before releasing it.
    /// `INVALID_STATE`: read-only.
    pub fn checkpoint(&mut self) -> Result<String> {
        // Safety: a live ledger; at most `cap` bytes are written.
        let note = bytes_of(1024, |out, cap, len, err| unsafe {
            sys::plr_ledger_checkpoint(self.ptr(), out.cast(), cap, len, err)
        })?;
        String::from_utf8(note).map_err(|_| Status::INTERNAL.into())
    }

    /// Proof that entry `index` is in the tree of `size` entries. `INVALID_ARGUMENT`, `IO`, `CORRUPT`.
    pub fn prove_inclusion(&mut self, index: u64, size: u64) -> Result<Vec<Hash>> {
        proof(|out, count, err| unsafe {
            // Safety: a live ledger; at most PLR_PROOF_MAX hashes are written.
            sys::plr_ledger_prove_inclusion(self.ptr(), index, size, out, count, err)
        })
    }

    /// Proof that the tree of `old_size` entries is the beginning of the tree of `new_size`.
    pub fn prove_consistency(&mut self, old_size: u64, new_size: u64) -> Result<Vec<Hash>> {
        proof(|out, count, err| unsafe {
            // Safety: a live ledger; at most PLR_PROOF_MAX + 1 hashes are written.
            sys::plr_ledger_prove_consistency(self.ptr(), old_size, new_size, out, count, err)
        })
    }

    /// Writes checkpoint and entries as one file in which every byte is covered by the signature; see
    /// [`log::verify`]. `INVALID_STATE`: read-only, and the recorded checkpoint is not of this size.
    pub fn export(&mut self, sink: Sink<'_>) -> Result<()> {
        // Safety: a live ledger; the sink is taken.
        sink.give(|sink, err| unsafe { sys::plr_ledger_export(self.ptr(), sink, err) })
    }
}

fn proof(
    function: impl FnOnce(*mut sys::plr_hash, *mut u32, *mut sys::plr_error) -> sys::plr_status,
) -> Result<Vec<Hash>> {
    let mut hashes = vec![Hash::default(); sys::PLR_PROOF_MAX as usize + 1];
    let mut count = 0;
    call(|err| function(hashes.as_mut_ptr().cast(), &mut count, err))?;
    hashes.truncate(count as usize);
    Ok(hashes)
}
