//! Entries that hosts write. Each function gives the bytes of one signed entry; no ledger is asked.
use std::ptr::null;

use crate::error::Result;
use crate::ffi::{bytes_of, c_text, defaults, setters, u32_len};
use crate::{sys, Context, Hash, Identity};

/// An entry that does not expire.
pub const NO_EXPIRY: u64 = sys::PLR_NO_EXPIRY;

/// Most entries are shorter; one with the costs of many blocks is written a second time.
const GUESS: usize = 1024;

/// What every entry says of its author.
#[derive(Clone)]
pub struct EntryOptions {
    raw: sys::plr_entry_options,
    author: Identity,
    origin: String,
    account: Option<Hash>,
}

// Safety: `raw` points to nothing: pointers are set in a copy, when an entry is written.
unsafe impl Send for EntryOptions {}
unsafe impl Sync for EntryOptions {}

impl EntryOptions {
    /// `author` signs. `origin` names the ledger, the only one in which the entry is valid. `nonce`: 1
    /// for the author's first entry, then one more each time; see
    /// [`Ledger::next_nonce`](super::Ledger::next_nonce).
    pub fn new(author: &Identity, origin: impl Into<String>, nonce: u64) -> Self {
        // Safety: the `_init` function of these options.
        let mut raw = unsafe { defaults(|o, size| sys::plr_entry_options_init(o, size)) };
        raw.nonce = nonce;
        EntryOptions { raw, author: author.clone(), origin: origin.into(), account: None }
    }

    setters! {
        /// Refused once a later epoch is open; default [`NO_EXPIRY`].
        valid_to_epoch: u64,
    }

    /// Whose entry it is, when the key of that account has been rotated to the author's.
    #[must_use]
    pub fn account(mut self, account: Hash) -> Self {
        self.account = Some(account);
        self
    }

    /// Calls a function that writes an entry.
    pub(super) fn write(
        &self,
        mut function: impl FnMut(
            *const sys::plr_entry_options,
            *mut u8,
            usize,
            *mut usize,
            *mut sys::plr_error,
        ) -> sys::plr_status,
    ) -> Result<Vec<u8>> {
        let origin = c_text("entry.origin", &self.origin)?;
        let mut raw = self.raw;
        raw.author = self.author.as_ptr();
        raw.origin = origin.as_ptr();
        raw.account = self.account.as_ref().map_or(null(), Hash::as_ptr);
        bytes_of(GUESS, |out, cap, len, err| function(&raw, out, cap, len, err))
    }
}

/// Makes the author's key known. `INVALID_ARGUMENT`.
pub fn account_open(context: &Context, options: &EntryOptions) -> Result<Vec<u8>> {
    let ctx = context.as_ptr();
    // Safety: live handles; at most `cap` bytes are written.
    options.write(|options, out, cap, len, err| unsafe {
        sys::plr_entry_account_open(ctx, options, out.cast(), cap, len, err)
    })
}

/// What a model's designer registers. It never changes afterwards.
///
/// The first `halving_units` units yield halving_units x rate / rate_divisor shares, the next as many
/// half of that, and so on; all shares there can ever be must stay below 2^63.
#[derive(Clone, Debug)]
pub struct ModelTerms {
    raw: sys::plr_model_terms,
    costs: Vec<u64>,
    parents: Vec<sys::plr_parent>,
}

// Safety: `raw` points to nothing: costs and parents are set in a copy, when an entry is written.
unsafe impl Send for ModelTerms {}
unsafe impl Sync for ModelTerms {}

impl ModelTerms {
    /// `model`: hash of the manifest. `costs`: units a token, forward and backward, of each block; see
    /// [`Model::block_cost`](crate::Model::block_cost). `microbatch_tokens`: most tokens a micro-batch
    /// can hold (rows times length). The profile is this library's.
    pub fn new(model: Hash, costs: impl Into<Vec<u64>>, microbatch_tokens: u32) -> Self {
        // Safety: the `_init` function of these terms.
        let mut raw = unsafe { defaults(|o, size| sys::plr_model_terms_init(o, size)) };
        raw.model = model.to_c();
        raw.profile = Hash::of_profile().to_c();
        raw.microbatch_tokens = microbatch_tokens;
        ModelTerms { raw, costs: costs.into(), parents: Vec::new() }
    }

    setters! {
        /// Part of the mint for the designer, in 1/10000; default 0.
        designer_bps: u32,
        /// Shares vest evenly over so many epochs, at most 1024; default 0: at once.
        vest_epochs: u32,
        /// Nothing is vested before so many epochs; default 0.
        vest_cliff: u32,
        /// Part of deposits that pays who serves, in 1/10000; default 0.
        serving_bps: u32,
        /// The designer's shares wait so many epochs for a milestone; default 0: they do not.
        milestone_epochs: u32,
    }

    /// One more model that this one is built on: gets `bps` of its revenue for ever. At most four,
    /// 5000 together.
    #[must_use]
    pub fn parent(mut self, model: Hash, bps: u32) -> Self {
        self.parents.push(sys::plr_parent { model: model.to_c(), bps, reserved: 0 });
        self
    }

    /// Part of the mint for the account of the data provider, in 1/10000. Both parts together are at
    /// most 10000.
    #[must_use]
    pub fn data(mut self, data_bps: u32, account: Hash) -> Self {
        self.raw.data_bps = data_bps;
        self.raw.data_account = account.0;
        self
    }

    /// The mint: `rate` / `rate_divisor` shares a unit, half of that after each `halving_units`.
    #[must_use]
    pub fn mint(mut self, halving_units: u128, rate: u64, rate_divisor: u64) -> Self {
        self.raw.halving_units.lo = halving_units as u64;
        self.raw.halving_units.hi = (halving_units >> 64) as u64;
        self.raw.rate = rate;
        self.raw.rate_divisor = rate_divisor;
        self
    }

    /// Another numeric profile than this library's own.
    #[must_use]
    pub fn profile(mut self, profile: Hash) -> Self {
        self.raw.profile = profile.to_c();
        self
    }
}

/// Registers a model; the author becomes its designer. `INVALID_ARGUMENT`.
pub fn model_register(context: &Context, options: &EntryOptions, terms: &ModelTerms) -> Result<Vec<u8>> {
    let mut raw = terms.raw;
    raw.block_count = u32_len("model terms.costs", terms.costs.len())?;
    raw.costs = match terms.costs.is_empty() {
        true => null(),
        false => terms.costs.as_ptr(),
    };
    raw.parent_count = u32_len("model terms.parents", terms.parents.len())?;
    raw.parents = terms.parents.as_ptr();
    let ctx = context.as_ptr();
    // Safety: live handles; there are block_count costs and parent_count parents; at most `cap` bytes are written.
    options.write(|options, out, cap, len, err| unsafe {
        sys::plr_entry_model_register(ctx, options, &raw, out.cast(), cap, len, err)
    })
}

/// Deposits revenue of a model. `amount`: smallest units of the currency, not 0. `INVALID_ARGUMENT`.
pub fn revenue_deposit(
    context: &Context,
    options: &EntryOptions,
    model: &Hash,
    amount: u64,
) -> Result<Vec<u8>> {
    let (ctx, model) = (context.as_ptr(), model.as_ptr());
    // Safety: live handles; at most `cap` bytes are written.
    options.write(|options, out, cap, len, err| unsafe {
        let out = out.cast();
        sys::plr_entry_revenue_deposit(ctx, options, model, amount, out, cap, len, err)
    })
}

/// Claims what is payable to the author: at most that; 0 is all of it. `INVALID_ARGUMENT`.
pub fn claim(context: &Context, options: &EntryOptions, model: &Hash, amount: u64) -> Result<Vec<u8>> {
    let (ctx, model) = (context.as_ptr(), model.as_ptr());
    // Safety: live handles; at most `cap` bytes are written.
    options.write(|options, out, cap, len, err| unsafe {
        sys::plr_entry_claim(ctx, options, model, amount, out.cast(), cap, len, err)
    })
}

/// As [`claim`], to be paid on a chain at `address`. `INVALID_ARGUMENT`.
pub fn claim_to(
    context: &Context,
    options: &EntryOptions,
    model: &Hash,
    amount: u64,
    address: &[u8; 20],
) -> Result<Vec<u8>> {
    let (ctx, model, address) = (context.as_ptr(), model.as_ptr(), address.as_ptr());
    // Safety: live handles; at most `cap` bytes are written.
    options.write(|options, out, cap, len, err| unsafe {
        sys::plr_entry_claim_to(ctx, options, model, amount, address, out.cast(), cap, len, err)
    })
}
